"""``ganrun sample``: draw from a trained run, walk through its latent space, or find the latents of examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.arguments import Arguments
from ganrun.config import check_plain, home_of
from ganrun.errors import ConfigError, did_you_mean, shown, tell
from ganrun.hydra_app import hand_over, preflight, with_paths
from ganrun.registry import choice, number
from ganrun.rundir import find_run, load_config, require_place
from ganrun.values import is_whole

if TYPE_CHECKING:
    import numpy as np
    from omegaconf import DictConfig

    from ganrun.game.method import Gan

MODES = ("random", "interpolate", "walk", "truncate")
FORMATS = (".png", ".npy", ".npz")
MOST = 10_000_000  # samples in one file
FRAMES = 2000  # of an animation
PIXELS = 1 << 27  # of the images in one picture
# What each thing to do reads beside run, n, seed, out and average, with its default.
DEFAULTS: dict[str, dict[str, Any]] = {
    "mode=random": {"n": 64},
    "mode=interpolate": {"n": 8, "steps": 8},
    "mode=walk": {"n": 8, "steps": 16},
    "mode=truncate": {"n": 64, "truncation": 0.5},
    "project": {"n": MOST, "key": None, "range": None, "starts": 8, "iterations": 500},
    "reconstruct": {"n": MOST, "key": None, "range": None},
}


@dataclasses.dataclass(frozen=True)
class Sample:
    """What ``ganrun sample`` may be told. What is None has a default where it is read (:data:`DEFAULTS`)."""

    run: str = "latest"
    n: int | None = number(None, low=1, high=MOST)
    seed: int = number(0, low=0, high=2**32 - 1)
    out: str = "samples.png"
    average: bool = True
    checkpoint: str = "latest"
    label: int | None = number(None, low=0, high=2**31 - 1)
    mode: str = choice("random", MODES)
    steps: int | None = number(None, low=2, high=10_000)
    truncation: float | None = number(None, above=0.0, high=100.0)
    project: str | None = None
    reconstruct: str | None = None
    key: str | None = None
    range: tuple[float, ...] | None = None
    starts: int | None = number(None, low=1, high=512)
    iterations: int | None = number(None, low=1, high=1_000_000)

    @property
    def task(self) -> str:
        """Which of :data:`DEFAULTS` this is."""
        named = [name for name in ("project", "reconstruct") if getattr(self, name) is not None]
        return named[0] if named else f"mode={self.mode}"

    @property
    def told(self) -> str:
        """The task as one would type it."""
        return self.task if self.task.startswith("mode=") else f"{self.task}=FILE"

    @property
    def target(self) -> Path:
        """The file to write."""
        return home_of(self.out)

    @property
    def source(self) -> Path:
        """The file whose examples are looked for."""
        return home_of(self.project or self.reconstruct or "")


def main(words: list[str]) -> int:
    """Run ``ganrun sample`` with ``words`` and return the exit code."""
    arguments = with_paths(Arguments(words), ("run", "out", "project", "reconstruct"))
    name = arguments.options.config_name or "sample"
    composed = None if arguments.only_shows else preflight(name, arguments, _inspect)
    return hand_over("sample", name, arguments, _job, composed=composed)


def _inspect(node: dict[str, Any]) -> tuple[Sample, Path]:
    step = node.get("checkpoint")
    asked = check_plain(Sample, {**node, "checkpoint": int(step) if is_whole(step) else step})
    if asked.checkpoint not in ("latest", "best") and not asked.checkpoint.isdecimal():
        raise ConfigError(f"checkpoint must be latest, best or a step, not '{asked.checkpoint}'.")
    _require_format(asked)
    require_place("out", asked.out)
    _require_fitting(asked)
    run = find_run(asked.run)
    if asked.task in ("project", "reconstruct"):
        from ganrun.inference.inputs import require_inputs

        require_inputs(asked.source, asked.key)
    filled = {name: value for name, value in DEFAULTS[asked.task].items() if getattr(asked, name) is None}
    asked = dataclasses.replace(asked, **filled)
    if (asked.n or 0) * (asked.steps or 1) > MOST:
        raise ConfigError(f"n={asked.n} times steps={asked.steps} is more than {MOST} samples.")
    if asked.target.suffix.lower() == ".gif" and (asked.n or 0) * (asked.steps or 0) > FRAMES:
        raise ConfigError(f"n={asked.n} times steps={asked.steps} is more than the {FRAMES} frames of an animation.")
    return asked, run


def _require_format(asked: Sample) -> None:
    suffix = asked.target.suffix.lower()
    allowed = (*FORMATS, ".gif") if asked.task == "mode=walk" else FORMATS
    if asked.task in ("project", "reconstruct"):
        allowed = (".png", ".npz")
    if suffix not in allowed:
        where = f" with {asked.told}" if suffix in (*FORMATS, ".gif") else ""
        listed = ", ".join(allowed)
        raise ConfigError(f"out must end in {listed}{where}, not '{suffix}'.{did_you_mean(suffix, allowed)}")


def _require_fitting(asked: Sample) -> None:
    """Refuse settings that would be passed over in silence."""
    if asked.project is not None and asked.reconstruct is not None:
        raise ConfigError("give project=FILE or reconstruct=FILE, not both.")
    if asked.task in ("project", "reconstruct") and asked.mode != "random":
        raise ConfigError(f"mode={asked.mode} draws samples, {asked.told} draws none: leave one of them out.")
    suffix = asked.source.suffix.lower()
    if suffix != ".npz" and asked.key is not None and asked.task in ("project", "reconstruct"):
        raise ConfigError(f"key={asked.key} names an array of an .npz file, and {shown(str(asked.source))} is none.")
    if suffix == ".png" and asked.range is not None:
        raise ConfigError("range is that of the pixels in an .npy or .npz file; those of a .png are bytes.")
    if asked.range is not None:
        from ganrun.divergence.pixel_range import require_range

        require_range(asked.range, "range")
    for name in ("steps", "truncation", "key", "range", "starts", "iterations"):
        homes = [task for task, own in DEFAULTS.items() if name in own]
        if getattr(asked, name) is not None and asked.task not in homes:
            raise ConfigError(f"{name} belongs to {' and '.join(homes)}; {asked.told} does not read it.")


def _job(node: DictConfig) -> int:
    from omegaconf import OmegaConf

    from ganrun import device

    try:
        device.prepare()
        asked, run = _inspect(OmegaConf.to_container(node, resolve=True))  # type: ignore[arg-type]
        _work(asked, run)
    except Exception as error:
        return tell(error)
    return 0


def _work(asked: Sample, run: Path) -> None:
    config = load_config(run)
    density = config.dataset.density() if hasattr(config.dataset, "density") else None
    suffix, drawn = asked.target.suffix.lower(), density is not None or len(config.dataset.shape) == 3
    if not drawn and (suffix == ".gif" or (suffix == ".png" and config.dataset.shape[0] > 2)):
        raise ConfigError(f"there is no picture of {config.dataset.name}: write numbers with out=samples.npy.")
    found = asked.task in ("project", "reconstruct")
    if found:
        from ganrun.divergence.pixel_range import require_range
        from ganrun.inference.inputs import read_inputs

        span = require_range(asked.range, "range")
        inputs = read_inputs(asked.source, asked.key, tuple(config.dataset.shape), span, note=print)[: asked.n]
    if suffix == ".png":
        _require_room(2 * len(inputs) if found else (asked.n or 0) * (asked.steps or 1), config.dataset.shape)
    if asked.task == "mode=truncate" and config.latent.prior == "uniform" and (asked.truncation or 0) > 1:
        raise ConfigError("truncation must be at most 1 with latent.prior=uniform, whose latents it multiplies.")
    from ganrun.trained import trained

    method, state = trained(run, config, asked.checkpoint, density)
    variables = state.average if asked.average else state.generator.variables
    _require_label(asked, method)
    told = f"of {config.dataset.name}, step {int(state.step)}, in {asked.target}"
    if found:
        _write_pairs(asked, method, variables, inputs, told)
    else:
        _write_samples(asked, method, variables, f"{run.name}, step {int(state.step)}", told)


def _require_room(count: int, shape: tuple[int, ...]) -> None:
    """Refuse a picture of more images than one file can hold; of points there may be any number."""
    most = PIXELS // (shape[0] * shape[1]) if len(shape) == 3 else count
    if count > most:
        raise ConfigError(f"{count} images in one picture are too many, {most} at most: write out=samples.npz.")


def _require_label(asked: Sample, method: Gan) -> None:
    """Refuse a label that the run does not have, and none where a whole row of latents would need the same."""
    classes = method.game.classes
    if asked.label is not None and not classes:
        raise ConfigError("label belongs to class-conditional runs; this one has no classes.")
    if asked.label is None and classes and asked.task != "mode=random":
        raise ConfigError(f"this run is class-conditional: choose a class with label=0 to label={classes - 1}.")
    if (asked.label or 0) >= max(1, classes):
        raise ConfigError(f"label must be at most {classes - 1}, not {asked.label}.")


def _write_samples(asked: Sample, method: Gan, variables: Any, title: str, told: str) -> None:
    import numpy as np

    from ganrun.inference import pictures as rows
    from ganrun.writers import pictures
    from ganrun.writers.whole import write_whole

    samples, latents = _draw(asked, method, variables)
    shape = tuple(method.data.shape)
    suffix = asked.target.suffix.lower()
    if suffix == ".gif":
        content = rows.animation(samples.reshape(-1, *shape), method.data.density)
    elif suffix == ".png" and asked.steps and len(shape) == 3:
        content = pictures.table(samples)
    elif suffix == ".png":
        rows_of = samples.reshape(-1, *shape)
        content = pictures.draw(rows_of, method.data.density, np.zeros(0), title, most=len(rows_of))
    elif suffix == ".npy":
        content = samples
    else:
        content = {"samples": samples} if latents is None else {"samples": samples, "latents": latents}
    write_whole(asked.target, content)
    count = f"{asked.n} x {asked.steps}" if asked.steps else str(asked.n)
    print(f"{count} samples {told}")


def _draw(asked: Sample, method: Gan, variables: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the samples, and the latents behind them where those are more than noise."""
    import numpy as np

    from ganrun.inference import latents

    n, game = asked.n or 0, method.game
    if asked.mode == "random" and asked.label is None:
        # One program of one size, whatever n: memory stays bounded, and sample i depends on the seed and i alone.
        keys = [latents.block_key(asked.seed, start) for start in range(0, n, latents.BATCH)]
        return np.concatenate([np.asarray(method.sample(variables, key, latents.BATCH)) for key in keys])[:n], None
    if asked.mode in ("random", "truncate"):
        z = latents.draw(game, asked.seed, n, asked.truncation)
    elif asked.mode == "walk":
        z = latents.walk(latents.draw(game, asked.seed, n), game.prior, asked.steps or 0)
    else:
        ends = latents.draw(game, asked.seed, 2 * n)
        z = latents.interpolate(ends[::2], ends[1::2], game.prior, asked.steps or 0)
    z = z.astype(np.float32)
    push = latents.pushing(method, asked.label)
    samples = latents.through(partial(push, variables), z.reshape(-1, game.latent_dim))
    return samples.reshape(*z.shape[:-1], *samples.shape[1:]), z


def _write_pairs(asked: Sample, method: Gan, variables: Any, inputs: np.ndarray, told: str) -> None:
    from ganrun.inference import latents, pictures
    from ganrun.inference.agreement import in_words, latent_error
    from ganrun.inference.projection import project
    from ganrun.writers.whole import write_whole

    game, push = method.game, latents.pushing(method, asked.label)
    if asked.task == "reconstruct":
        encode = _encoder(method, variables)
        z = latents.through(encode, inputs)
    else:
        starts = asked.starts or 0
        begins = latents.draw(game, asked.seed, len(inputs) * starts).reshape(len(inputs), starts, -1)
        z = project(push, variables, inputs, begins, game.prior, asked.iterations or 0)
    made = latents.through(partial(push, variables), z)
    content = {"inputs": inputs, "latents": z, "reconstructions": made}
    write_whole(asked.target, pictures.pairs(inputs, made) if asked.target.suffix.lower() == ".png" else content)
    print(f"{len(inputs)} examples and their reconstructions {told}")
    print(in_words(inputs, made))
    print(f"latents: mean square {(z**2).mean():.3g} (of the prior {1 if game.prior == 'normal' else 1 / 3:.3g})")
    if asked.task == "reconstruct":
        drawn = latents.draw(game, asked.seed, latents.BATCH)
        back = latents.through(encode, latents.through(partial(push, variables), drawn))
        print(f"E(G(z)) against z: mean squared error over variance {latent_error(drawn, back):.3g}")


def _encoder(method: Gan, variables: Any) -> Callable[[Any], Any]:
    if not method.game.infers:
        raise ConfigError("this run has no encoder: train with inference=bigan, or use project=FILE.")
    return partial(method.encode, variables)
