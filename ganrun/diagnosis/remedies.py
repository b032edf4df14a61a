"""Settings to try against what a run suffers from, as one would type them; those that it has already are left out."""

from __future__ import annotations

from collections.abc import Callable

from ganrun.config import Train

# Given a run's config and the step, a setting to try; None where the run has it.
Remedy = Callable[[Train, int], str | None]

SLOWER = 4.0  # a rate is divided by
LONGER = 4  # times the steps


def penalty(*names: str) -> Remedy:
    """Add these penalties."""

    def tried(config: Train, step: int) -> str | None:
        own = {one.name for one in config.penalty}
        if own >= set(names):
            return None
        return f"penalty={names[0]}" if len(names) == 1 else f"penalty=[{','.join(names)}]"

    return tried


def loss(name: str) -> Remedy:
    """Play with another loss."""
    return lambda config, step: None if config.loss.name == name else f"loss={name}"


def paired(config: Train, step: int) -> str | None:
    """Play R3GAN's game, which has covered every mode where others did not (Huang et al. 2024)."""
    settings = filter(None, (loss("relativistic")(config, step), penalty("r1", "r2")(config, step)))
    return " ".join(settings) or None


def slower(player: str) -> Remedy:
    """Give a player a lower rate."""

    def tried(config: Train, step: int) -> str | None:
        return f"optimizer.{player}.learning_rate={getattr(config.optimizer, player).learning_rate / SLOWER:.2g}"

    return tried


def falling(config: Train, step: int) -> str | None:
    """Let both rates fall to nothing."""
    players = [player for player in ("generator", "discriminator") if _decay(config, player) == "constant"]
    return " ".join(f"optimizer.{player}.decay=cosine" for player in players) or None


def _decay(config: Train, player: str) -> str:
    return getattr(getattr(config.optimizer, player), "decay", "")


def noise(config: Train, step: int) -> str | None:
    """Blur what the discriminator sees (Arjovsky & Bottou 2017, section 3)."""
    return None if config.inputs.noise else "inputs.noise=0.1"


def shorter(config: Train, step: int) -> str | None:
    """Stop before it happens."""
    return f"steps={step}"


def longer(config: Train, step: int) -> str | None:
    """Train on."""
    return f"steps={LONGER * config.steps}"


def followed(config: Train, step: int) -> str | None:
    """Let the generator be followed from the plane to the plane, not only sampled (divergence/plane.py)."""
    plane = getattr(config.dataset, "shape", ()) == (2,)
    return "latent.dim=2" if plane and config.latent.dim > 2 else None


def chosen(remedies: tuple[Remedy, ...], config: Train, step: int) -> tuple[str, ...]:
    """Return the first two of ``remedies`` that the run of ``config`` does not have."""
    return tuple(filter(None, (one(config, step) for one in remedies)))[:2]
