"""What all tests share: compiled programs kept between sessions, checked configs, and one tiny GAN."""

import functools
import gc
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import compiling
import jax
import pytest

from ganrun.config.hydra_bridge import compose_each
from ganrun.config.schema import check
from ganrun.config.settings import Train
from ganrun.datasets.images import Mnist
from ganrun.errors import ConfigError
from ganrun.methods.experiment import Experiment
from ganrun.training import device
from ganrun.training import vmapped as members
from ganrun.training.build import build

compiling.hurry_by_environment()
device.prepare()
# To look for cycles all the time costs a tenth of all tests. It is done between files, where enough may have gathered.
gc.freeze()
gc.disable()
os.fsync = os.fstat  # no test cuts the power: one that waited for the disk would show no more
REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
MAPPED = 10_000  # regions of memory, of 65 530 that Linux lets a process have: a program takes several
CYCLES = 1_000_000  # objects made, less those that have gone, since cycles were last looked for

TINY = (
    "architecture.generator_hidden=[8]",
    "architecture.discriminator_hidden=[8]",
    "batch_size=16",
    "probe=off",
    "evaluate.share=1",  # nothing is left out of the evaluation, however short the run
)


@pytest.fixture(scope="session")
def compose_config() -> Callable[[Iterable[str]], Train]:
    """Compose train.yaml with overrides, as a sweep does, and check the result; the same words only once.

    Hydra composes each choice of options once: it takes a tenth of a second, and to fill in the values next to nothing.
    """
    asked: list[str] = []

    def jobs() -> Iterator[list[str]]:
        while True:
            yield list(asked)

    configs: dict[str | None, Iterator[Any]] = {}  # by the folder of the data, which the configs read

    @functools.cache
    def once(overrides: tuple[str, ...], data: str | None) -> Train:
        asked[:] = overrides
        try:
            return check(next(configs.setdefault(data, compose_each("train", jobs()))))
        except ConfigError:
            del configs[data]  # an error ends a generator
            raise

    def composed(overrides: Iterable[str] = ()) -> Train:
        return once(tuple(overrides), os.environ.get("GANRUN_DATA"))

    return composed


@pytest.fixture(scope="session")
def tiny_config(compose_config) -> Train:
    return compose_config(TINY)


@pytest.fixture(scope="session")
def tiny_ring(tiny_config) -> Experiment:
    return build(tiny_config)


@pytest.fixture
def real() -> pathlib.Path:
    """The folder that holds the real MNIST."""
    folders = [REPOSITORY.parent / "shared" / "datasets"]
    if os.environ.get("GANRUN_DATA"):
        folders.insert(0, pathlib.Path(os.environ["GANRUN_DATA"]))
    for folder in folders:
        if len(Mnist().find(folder)) == 2:
            return folder
    pytest.skip(f"MNIST is in none of {', '.join(map(str, folders))}")


class Programs:
    """The compiled programs of this process, which files share: most of them train the same few tiny networks."""

    hurry: ClassVar[bool | None] = None  # how those that are kept were compiled

    @classmethod
    def forget(cls) -> None:
        jax.clear_caches()
        members._compiled.cache_clear()
        cls.hurry = None

    @staticmethod
    def too_many() -> bool:
        """Return whether they take much of what a process can map (beyond that, XLA crashes), or nobody knows."""
        try:
            with pathlib.Path("/proc/self/maps").open("rb") as maps:
                return sum(1 for _ in maps) > MAPPED
        except OSError:
            return True


@pytest.fixture(scope="module", autouse=True)
def _programs_of_the_module(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compile in a hurry unless the file is marked ``optimised``, and share the programs with other such files.

    Those of a file marked ``retraced`` are not shared, nor does it use those of others.
    """
    hurry = request.node.get_closest_marker("optimised") is None
    retraced = request.node.get_closest_marker("retraced") is not None
    jax.config.update("jax_disable_most_optimizations", hurry)
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(int(hurry))  # of commands that are a process of their own
    if retraced or Programs.hurry is not hurry:
        Programs.forget()
    Programs.hurry = hurry
    yield
    if retraced or Programs.too_many():
        Programs.forget()
    if gc.get_count()[0] > CYCLES:
        gc.collect()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slow tests last, so that a quick one that fails is seen soon."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
