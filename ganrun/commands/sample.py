"""``ganrun sample``: draws samples from a trained run, explores its latent space, or finds the latents of examples."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.commands.chosen_average import require_one
from ganrun.config.cli_args import CliArguments
from ganrun.config.folders import home_of
from ganrun.config.hydra_bridge import hand_over, preflight, with_paths
from ganrun.config.registry import choice, number
from ganrun.config.schema import check_plain
from ganrun.config.settings import NARROWEST, WIDEST
from ganrun.config.values import is_whole
from ganrun.errors import ConfigError, did_you_mean, shown, tell
from ganrun.storage.folder_checks import require_place
from ganrun.storage.run_directory import find_run, load_config

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ganrun.methods.experiment import Experiment

MODES = ("random", "interpolate", "walk", "truncate", "plane", "latents", "neighbours", "film")
ANIMATIONS = (".gif", ".webp")
FORMATS = (".png", ".npy", ".npz")
MAX = 10_000_000  # maximum samples in one file
FRAMES = 2000  # maximum frames of an animation
PIXELS = 1 << 27  # maximum pixels of all images in one picture
# The settings of each task, besides run, seed, out and average, with their defaults.
DEFAULTS: dict[str, dict[str, Any]] = {
    "mode=random": {"n": 64},
    "mode=interpolate": {"n": 8, "steps": 8},
    "mode=walk": {"n": 8, "steps": 16},
    "mode=truncate": {"n": 64, "truncation": 0.5},
    "mode=plane": {"n": 20},
    "mode=latents": {"n": 2000},
    "mode=neighbours": {"n": 8, "neighbours": 5},
    "mode=film": {"n": FRAMES, "picture": "samples", "milliseconds": 200},
    "project": {"n": MAX, "key": None, "range": None, "starts": 8, "iterations": 500},
    "reconstruct": {"n": MAX, "key": None, "range": None},
}
# Settings that only some of the tasks have.
OF_SOME_TASKS = (
    *("steps", "truncation", "neighbours", "picture", "milliseconds"),
    *("key", "range", "starts", "iterations"),
)
OF_SAMPLES = ("seed", "average", "sigma_rel", "checkpoint", "label")  # settings of all tasks but mode=film


@dataclasses.dataclass(frozen=True)
class Sample:
    """The settings of ``ganrun sample``. Those that are None take the task's default (:data:`DEFAULTS`)."""

    run: str = "latest"
    n: int | None = number(None, low=1, high=MAX)
    seed: int = number(0, low=0, high=2**32 - 1)
    out: str = "samples.png"
    average: bool = True
    sigma_rel: float | None = number(None, low=NARROWEST, high=WIDEST)
    checkpoint: str = "latest"
    label: int | None = number(None, low=0, high=2**31 - 1)
    mode: str = choice("random", MODES)
    steps: int | None = number(None, low=2, high=10_000)
    truncation: float | None = number(None, above=0.0, high=100.0)
    neighbours: int | None = number(None, low=1, high=1000)
    picture: str | None = choice(None, ("samples", "densities"))
    milliseconds: int | None = number(None, low=10, high=60_000)
    project: str | None = None
    reconstruct: str | None = None
    key: str | None = None
    range: tuple[float, ...] | None = None
    starts: int | None = number(None, low=1, high=512)
    iterations: int | None = number(None, low=1, high=1_000_000)
    plugins: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """The task, a key of :data:`DEFAULTS`."""
        named = [name for name in ("project", "reconstruct") if getattr(self, name) is not None]
        return named[0] if named else f"mode={self.mode}"

    @property
    def as_typed(self) -> str:
        """The task as it is typed on the command line."""
        return self.task if self.task.startswith("mode=") else f"{self.task}=FILE"

    @property
    def target(self) -> Path:
        """The output file."""
        return home_of(self.out)

    @property
    def as_picture(self) -> bool:
        """Whether the output is a PNG."""
        return self.target.suffix.lower() == ".png"

    @property
    def source(self) -> Path:
        """The file of examples whose latents are to be found."""
        return home_of(self.project or self.reconstruct or "")


def main(words: list[str]) -> int:
    """Run ``ganrun sample`` with ``words`` and return the exit code."""
    arguments = CliArguments(words)
    arguments.refuse_paths("run")
    arguments = with_paths(arguments, ("run", "out", "project", "reconstruct"))
    name = arguments.options.config_name or "sample"
    composed = None if arguments.only_shows else preflight(name, arguments, _inspect)
    return hand_over("sample", name, arguments, _job, composed=composed)


def _inspect(node: dict[str, Any]) -> tuple[Sample, Path]:
    step = node.get("checkpoint")
    request = check_plain(Sample, {**node, "checkpoint": int(step) if is_whole(step) else step})
    if request.checkpoint not in ("latest", "best") and not request.checkpoint.isdecimal():
        raise ConfigError(f"checkpoint must be latest, best or a step, not '{request.checkpoint}'.")
    _require_format(request)
    require_place("out", request.out)
    _require_fitting(request)
    run = find_run(request.run)
    if request.task in ("project", "reconstruct"):
        from ganrun.latent_space.inputs import require_inputs

        require_inputs(request.source, request.key)
    defaults = {name: value for name, value in DEFAULTS[request.task].items() if getattr(request, name) is None}
    request = dataclasses.replace(request, **defaults)
    if request.task == "mode=plane" and (request.n or 0) ** 2 > MAX:
        raise ConfigError(f"n={request.n} times as many columns is more than {MAX} samples.")
    if (request.n or 0) * (request.steps or 1) > MAX:
        raise ConfigError(f"n={request.n} times steps={request.steps} is more than {MAX} samples.")
    if request.target.suffix.lower() in ANIMATIONS and (request.n or 0) * (request.steps or 0) > FRAMES:
        raise ConfigError(
            f"n={request.n} times steps={request.steps} is more than the {FRAMES} frames of an animation."
        )
    return request, run


def _require_format(request: Sample) -> None:
    suffix = request.target.suffix.lower()
    allowed = (*FORMATS, *ANIMATIONS) if request.task == "mode=walk" else FORMATS
    if request.task == "mode=film":
        allowed = ANIMATIONS
    elif request.task in ("mode=neighbours", "mode=latents", "project", "reconstruct"):
        allowed = (".png", ".npz")
    if suffix not in allowed:
        where = f" with {request.as_typed}" if suffix in (*FORMATS, *ANIMATIONS) else ""
        listed = ", ".join(allowed)
        raise ConfigError(f"out must end in {listed}{where}, not '{suffix}'.{did_you_mean(suffix, allowed)}")


def _require_fitting(request: Sample) -> None:
    """Refuse settings that the task would silently ignore."""
    require_one(request)
    if request.project is not None and request.reconstruct is not None:
        raise ConfigError("give project=FILE or reconstruct=FILE, not both.")
    if request.task in ("project", "reconstruct") and request.mode != "random":
        raise ConfigError(f"mode={request.mode} draws samples, {request.as_typed} draws none: leave one of them out.")
    if request.task == "mode=film":
        _require_film_alone(request)
    suffix = request.source.suffix.lower()
    if suffix != ".npz" and request.key is not None and request.task in ("project", "reconstruct"):
        raise ConfigError(
            f"key={request.key} names an array of an .npz file, and {shown(str(request.source))} is none."
        )
    if suffix == ".png" and request.range is not None:
        raise ConfigError("range is that of the pixels in an .npy or .npz file; those of a .png are bytes.")
    if request.range is not None:
        from ganrun.evaluation.divergence.pixel_range import require_range

        require_range(request.range, "range")
    for name in OF_SOME_TASKS:
        tasks = [task for task, defaults in DEFAULTS.items() if name in defaults]
        if getattr(request, name) is not None and request.task not in tasks:
            raise ConfigError(f"{name} belongs to {' and '.join(tasks)}; {request.as_typed} does not use it.")


def _require_film_alone(request: Sample) -> None:
    """Refuse what samples of a model have and a film of the pictures that its run has drawn has not."""
    usual = {field.name: field.default for field in dataclasses.fields(Sample)}
    if stray := next((name for name in OF_SAMPLES if getattr(request, name) != usual[name]), None):
        raise ConfigError(f"{stray} belongs to samples; mode=film shows pictures that the run has drawn: leave it out.")


def _job(node: DictConfig) -> int:
    from omegaconf import OmegaConf

    from ganrun.training import device

    try:
        device.prepare()
        request, run = _inspect(OmegaConf.to_container(node, resolve=True))  # type: ignore[arg-type]
        _work(request, run)
    except Exception as error:
        return tell(error)
    return 0


def _work(request: Sample, run: Path) -> None:
    from ganrun import datasets
    from ganrun.commands.sample_pictures import write_film, write_latents, write_neighbours

    config = load_config(run)
    density = config.dataset.density() if hasattr(config.dataset, "density") else None
    suffix, drawn = request.target.suffix.lower(), density is not None or len(config.dataset.shape) == 3
    if request.task == "mode=film":
        write_film(request, run)
        return
    if request.task == "mode=latents":
        drawn = True  # what is drawn is a plane of latents, whatever the data
    if not drawn and (suffix in ANIMATIONS or (suffix == ".png" and config.dataset.shape[0] > 2)):
        raise ConfigError(f"there is no picture of {config.dataset.name}: write numbers with out=samples.npy.")
    has_inputs = request.task in ("project", "reconstruct")
    if has_inputs:
        from ganrun.evaluation.divergence.pixel_range import require_range
        from ganrun.latent_space.inputs import read_inputs

        span = require_range(request.range, "range")
        inputs = read_inputs(request.source, request.key, tuple(config.dataset.shape), span, note=print)[: request.n]
        inputs = datasets.from_data_units(config.dataset, inputs)
    if suffix == ".png" and request.task != "mode=latents":
        columns = (request.n or 0) if request.task == "mode=plane" else request.steps or 1
        _require_room(2 * len(inputs) if has_inputs else (request.n or 0) * columns, config.dataset.shape)
    uniform = config.latent is not None and config.latent.prior == "uniform"
    if request.task == "mode=truncate" and uniform and (request.truncation or 0) > 1:
        raise ConfigError("truncation must be at most 1 with latent.prior=uniform, whose latents it multiplies.")
    from ganrun.commands.sample_write import write_pairs, write_samples
    from ganrun.evaluation.load_run import load_run
    from ganrun.evaluation.rebuilt_average import chosen_variables

    experiment, state = load_run(run, config, request.checkpoint, density)
    variables, weights = chosen_variables(run, experiment, state, request.average, request.sigma_rel)
    _require_latents(request, experiment)
    _require_label(request, experiment)
    of_weights = "" if request.sigma_rel is None else f", {weights} weights"
    description = f"of {config.dataset.name}, step {int(state.step)}{of_weights}, in {request.target}"
    units = partial(datasets.in_data_units, config.dataset)
    if request.task == "mode=latents":
        write_latents(request, experiment, variables, config, description)
    elif request.task == "mode=neighbours":
        write_neighbours(request, experiment, variables, config, units, description)
    elif has_inputs:
        write_pairs(request, experiment, variables, inputs, units, description)
    else:
        write_samples(request, experiment, variables, units, f"{run.name}, step {int(state.step)}", description)


def _require_room(count: int, shape: tuple[int, ...]) -> None:
    """Refuse a picture of too many images; the number of points is not limited."""
    maximum = PIXELS // (shape[0] * shape[1]) if len(shape) == 3 else count
    if count > maximum:
        raise ConfigError(f"{count} images in one picture are too many, {maximum} at most: write out=samples.npz.")


def _require_latents(request: Sample, experiment: Experiment) -> None:
    """Refuse tasks that vary or find latents for a method that has none, or no encoder where they need one."""
    from ganrun.latent_space.latents import require_encoder

    if request.task not in ("mode=random", "mode=neighbours") and "decode" not in experiment.method.capabilities:
        raise ConfigError(
            f"{request.as_typed} needs a method whose samples are a function of latents; this run's is not."
        )
    if request.task in ("reconstruct", "mode=latents"):
        require_encoder(experiment)
    dim = experiment.method.prior.dim if experiment.method.prior else 0
    if dim != 2 and (request.task == "mode=plane" or (request.task == "mode=latents" and request.as_picture)):
        instead = ": write numbers with out=latents.npz" if request.task == "mode=latents" else ""
        raise ConfigError(
            f"{request.as_typed} shows a plane of latents: it needs a run with latent.dim=2, not {dim}{instead}."
        )


def _require_label(request: Sample, experiment: Experiment) -> None:
    """Refuse a label that the run does not have, and a missing label for tasks whose latents must share a class."""
    classes = experiment.method.classes
    if request.label is not None and not classes:
        raise ConfigError("label belongs to class-conditional runs; this one has no classes.")
    if request.label is None and classes and request.task not in ("mode=random", "mode=neighbours", "mode=latents"):
        raise ConfigError(f"this run is class-conditional: choose a class with label=0 to label={classes - 1}.")
    if (request.label or 0) >= max(1, classes):
        raise ConfigError(f"label must be 0 to {classes - 1}, not {request.label}.")
