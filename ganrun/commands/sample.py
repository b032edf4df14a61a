"""``ganrun sample``: draw from the generator of a trained run, into a picture or an array file."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.config import check_plain
from ganrun.errors import ConfigError, GanrunError, did_you_mean, tell
from ganrun.hydra_app import Arguments, hand_over, preflight
from ganrun.registry import number
from ganrun.rundir import find_run, load_config

if TYPE_CHECKING:
    import numpy as np
    from omegaconf import DictConfig

BATCH = 512  # samples drawn at once
FORMATS = (".png", ".npy", ".npz")


@dataclasses.dataclass(frozen=True)
class Sample:
    """What ``ganrun sample`` may be told."""

    run: str = "latest"
    n: int = number(64, low=1, high=10_000_000)
    seed: int = number(0, low=0, high=2**32 - 1)
    out: str = "samples.png"
    average: bool = True


def main(words: list[str]) -> int:
    """Run ``ganrun sample`` with ``words`` and return the exit code."""
    arguments = Arguments(words)
    name = arguments.options.config_name or "sample"
    if not arguments.only_shows:
        preflight(name, arguments, _inspect)
    return hand_over("sample", name, arguments.words, _job)


def _inspect(node: dict[str, Any]) -> tuple[Sample, Path]:
    asked = check_plain(Sample, node)
    suffix = Path(asked.out).suffix.lower()
    if suffix not in FORMATS:
        raise ConfigError(f"out must end in {', '.join(FORMATS)}, not '{suffix}'.{did_you_mean(suffix, FORMATS)}")
    folder = Path(asked.out).expanduser().resolve().parent
    if not os.path.isdir(folder):  # noqa: PTH112 (pathlib raises on a name too long)
        raise ConfigError(f"out: there is no folder {folder}.")
    return asked, find_run(asked.run)


def _job(node: DictConfig) -> int:
    from omegaconf import OmegaConf

    from ganrun import device

    try:
        device.prepare()
        _sample(*_inspect(OmegaConf.to_container(node, resolve=True)))  # type: ignore[arg-type]
    except Exception as error:
        return tell(error)
    return 0


def _sample(asked: Sample, run: Path) -> None:
    import jax
    import numpy as np

    from ganrun import datasets
    from ganrun.checkpoints import Checkpoints
    from ganrun.game.method import Gan
    from ganrun.writers import pictures

    config = load_config(run)
    # Drawing needs the density behind the picture, but no training images: the shape of the data is enough.
    density = config.dataset.density() if hasattr(config.dataset, "density") else None
    method = Gan(config, datasets.Data(train=None, held_out=None, shape=config.dataset.shape, density=density))
    if not (run / "checkpoints").is_dir():
        raise GanrunError(f"{run} has no checkpoint yet.")
    state, _ = Checkpoints(run / "checkpoints", read_only=True).restore(method.abstract())
    variables = state.average if asked.average else state.generator.variables
    key = jax.random.key(asked.seed)
    # One program of one size, whatever n: memory stays bounded, and sample i depends on the seed and i alone.
    starts = range(0, asked.n, BATCH)
    drawn = [np.asarray(method.sample(variables, jax.random.fold_in(key, start), BATCH)) for start in starts]
    samples = np.concatenate(drawn)[: asked.n]
    out = Path(asked.out).expanduser()
    if out.suffix.lower() == ".png":
        picture = pictures.draw(samples, density, np.zeros(0), f"{run.name}, step {int(state.step)}")
        _write(out, lambda path: path.write_bytes(picture))
    elif out.suffix.lower() == ".npy":
        _write(out, lambda path: _save_npy(path, samples))
    else:
        _write(out, lambda path: _save_npz(path, samples))
    print(f"{asked.n} samples of {config.dataset.name}, step {int(state.step)}, in {out}")


def _save_npy(path: Path, samples: np.ndarray) -> None:
    import numpy as np

    with path.open("wb") as file:
        np.save(file, samples, allow_pickle=False)


def _save_npz(path: Path, samples: np.ndarray) -> None:
    import numpy as np

    with path.open("wb") as file:
        np.savez_compressed(file, samples=samples)


def _write(out: Path, save: Callable[[Path], Any]) -> None:
    """Write beside ``out`` and rename, so that ``out`` is whole or as it was."""
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".ganrun-") as folder:
            save(Path(folder) / out.name)
            (Path(folder) / out.name).replace(out)
    except OSError as error:
        raise GanrunError(f"cannot write {out}: {error.strerror}.") from error
