"""Settings to try against a training failure, as typed on the command line, without those that the run already has."""

from __future__ import annotations

from ganrun.config.settings import Train
from ganrun.methods.detection import Suggestion

SLOWER = 4.0  # divisor of a learning rate


def penalty(*names: str) -> Suggestion:
    """Suggest these penalties."""

    def suggestion(config: Train, step: int) -> str | None:
        if {option.name for option in config.penalty} >= set(names):
            return None
        # In quotes, since a shell reads brackets as a pattern of file names.
        return f"penalty={names[0]}" if len(names) == 1 else f"'penalty=[{','.join(names)}]'"

    return suggestion


def loss(name: str) -> Suggestion:
    """Suggest another loss."""
    return lambda config, step: None if config.loss.name == name else f"loss={name}"


def paired(config: Train, step: int) -> str | None:
    """Suggest R3GAN's loss and penalties, which have covered every mode where others did not (Huang et al. 2024)."""
    settings = filter(None, (loss("relativistic")(config, step), penalty("r1", "r2")(config, step)))
    return " ".join(settings) or None


def slower(player: str) -> Suggestion:
    """Suggest a lower learning rate for ``player`` (``generator`` or ``discriminator``)."""

    def suggestion(config: Train, step: int) -> str | None:
        return f"optimizer.{player}.learning_rate={getattr(config.optimizer, player).learning_rate / SLOWER:.2g}"

    return suggestion


def falling(config: Train, step: int) -> str | None:
    """Suggest learning rates that decay to zero."""
    players = [player for player in ("generator", "discriminator") if _decay(config, player) == "constant"]
    return " ".join(f"optimizer.{player}.decay=cosine" for player in players) or None


def _decay(config: Train, player: str) -> str:
    return getattr(getattr(config.optimizer, player), "decay", "")


def noise(config: Train, step: int) -> str | None:
    """Suggest instance noise on the discriminator's inputs (Arjovsky & Bottou 2017, section 3)."""
    return None if config.inputs.noise else "inputs.noise=0.1"


def followed(config: Train, step: int) -> str | None:
    """Suggest a 2-dimensional latent for data in the plane, so that the model's density can be computed.

    See ``evaluation/divergence/exact/plane.py``; with more dimensions the model is only sampled.
    """
    plane = getattr(config.dataset, "shape", ()) == (2,)
    return "latent.dim=2" if plane and config.latent.size > 2 else None
