"""A job of a sweep is what the same words are alone, whatever words they are."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator

import hydra
import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from ganrun.config.cli_args import CliArguments
from ganrun.config.hydra_bridge import compose, compose_each, hand_over, preflight
from ganrun.config.search_path import groups, searching
from ganrun.config.sweep_compose import Composer
from ganrun.errors import ConfigError

UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)  # lists of words are short, and composing is slow

# Words that choose, set, add, remove and refer. Those of one line meet each other: together they may be wrong, and what
# they come to depends on their order.
TOPICS = (
    ("seed=1", "seed=2", "++seed=3", "~seed", "batch_size=${seed}", "latent.dim=${seed}"),
    ("loss=hinge", "loss=minimax", "loss.label_smoothing=0.1", "~loss.label_smoothing", "++loss.label_smoothing=0.3"),
    ("loss={label_smoothing: 0.2}", "loss.label_smoothing=0.1", "loss=minimax", "experiment=lsgan"),
    ("penalty=r1", "penalty=[r1,r2]", "penalty=none", "penalty.r1.weight=3", "~penalty", "+penalty@penalty=drift"),
    ("optimizer=sgd", "optimizer.generator.learning_rate=0.5", "optimizer.discriminator={learning_rate: 0.1}"),
    ("experiment=wgan_gp", "experiment=ring", "+experiment=pacgan", "steps=1e2", "probe=off", "probe.budget=2"),
    ("dataset=digits", "dataset.modes=3", "architecture=dcgan", "architecture.generator_hidden=[4,4]"),
    ("latent={dim: 3}", "latent.dim=4", "++latent={prior: uniform}", "~latent", "~latent.dim"),
    ("+extra=5", "extra=6", "+extra.more=[1,2]", "++extra={a: 1}", "~extra"),
    ("hydra.verbose=true", "hydra.job.name=${seed}", "data_dir='a b'", "ema.decay=0", "schedule=ramp"),
)


@st.composite
def word_lists(draw):
    """Two or three lists of words about one or two topics."""
    pool = [word for topic in draw(st.permutations(TOPICS))[: draw(st.integers(1, 2))] for word in topic]
    jobs = st.lists(st.sampled_from(pool), min_size=1, max_size=4, unique=True)
    return draw(st.lists(jobs, min_size=2, max_size=3))


def composed(words: list[str]) -> DictConfig:
    """What Hydra composes of ``words``."""
    with searching():
        return hydra.compose("train", words)


def told(compose: Callable[[list[str]], DictConfig], words: list[str]) -> str:
    """What ``compose`` makes of ``words``, with the kinds of numbers; or that it refuses them."""
    try:
        return repr(OmegaConf.to_container(compose(words), resolve=True))
    except Exception as error:  # whatever Hydra raises
        return f"refused ({type(error).__name__})"


@functools.cache
def alone(*words: str) -> str:
    """What the words come to by themselves."""
    return told(composed, list(words))


@settings(max_examples=10, deadline=None, phases=UNSHRUNK)
@given(word_lists())
def test_a_job_filled_in_from_a_base_that_others_made_is_what_hydra_composes(jobs):
    composer = Composer(composed, groups())
    for job in jobs:
        assert told(composer, job) == alone(*job)


AXES = {
    "seed": ("0", "1", "7"),
    "steps": ("1e2", "100", "200"),
    "loss": ("hinge", "minimax", "nonsaturating"),
    "penalty": ("none", "r1", "[r1,r2]"),
    "experiment": ("null", "ring", "wgan_gp"),
    "optimizer": ("adam", "sgd"),
    "optimizer.generator.learning_rate": ("0.5", "1e-3"),
    "latent.dim": ("3", "${seed}"),
    "latent": ("{dim: 5}", "{prior: uniform}"),
    "probe": ("off", "stack"),
    "+extra": ("1", "[1,2]"),
    "++ema.decay": ("0", "0.5"),
    "architecture.generator_hidden": ("[4]", "[4,4]"),
}


@st.composite
def sweeps(draw):
    """The words of a sweep: some keys with one value and some with several, in any order."""
    keys = draw(st.lists(st.sampled_from(sorted(AXES)), min_size=1, max_size=4, unique=True))
    return [
        f"{key}={','.join(draw(st.lists(st.sampled_from(AXES[key]), min_size=1, max_size=2, unique=True)))}"
        for key in keys
    ]


@settings(max_examples=5, deadline=None, phases=UNSHRUNK)
@given(words=sweeps())
def test_every_job_that_the_launcher_gets_is_what_its_words_are_alone(words, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    got = []

    def together(jobs, *_, **__):
        got.extend(jobs)
        return [0] * len(jobs)

    own = ["hydra/launcher=population", "hydra/sweeper=grid", f"hydra.sweep.dir='{folder}'"]
    arguments = CliArguments(["-m", *words, *own])
    try:
        hand_over("train", "train", arguments, lambda node: 0, together)
    except (ConfigError, ValueError):  # ganrun tells the second, of experiment=null, before
        got = None
    axes = OverridesParser.create().parse_overrides(words)
    values = [list(one.sweep_string_iterator()) if one.is_sweep_override() else None for one in axes]
    jobs: list[list[str]] = [[]]
    for word, override, several in zip(words, axes, values, strict=True):
        options = [word] if several is None else [f"{override.get_key_element()}={value}" for value in several]
        jobs = [[*job, option] for job in jobs for option in options]
    expected = [alone(*job) for job in jobs]
    if got is None:
        assert any(one.startswith("refused") for one in expected)
    else:
        assert [repr(node) for node, _ in got] == expected
        assert len({path for _, path in got}) == len(jobs)


def test_the_same_words_in_another_order_may_mean_another_thing_and_do_so_in_a_sweep_too():
    one, other = ["latent.dim=4", "latent={dim: 3}"], ["latent={dim: 3}", "latent.dim=4"]
    first, second = compose_each("train", [one, other])
    assert (first["latent"]["dim"], second["latent"]["dim"]) == (3, 4)
    assert compose("train", one) == first and compose("train", other) == second


@pytest.fixture
def terse() -> Iterator[None]:
    """Hydra logs no details: for them it would compose again, and a test with hydra.verbose=true leaves it so."""
    logger = logging.getLogger("hydra")
    before = logger.level
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(before)


@pytest.mark.usefixtures("terse")
def test_a_single_job_is_composed_once_and_is_what_hydra_composes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.yaml").write_text("defaults: [train, _self_]\nsteps: 70\n")
    words = ["loss=minimax", "hydra.run.dir=here", "loss.label_smoothing=0.1", "--config-dir=own", "--config-name=mine"]
    arguments, compositions, got = CliArguments(words), [], []
    load = ConfigLoaderImpl.load_configuration
    monkeypatch.setattr(
        ConfigLoaderImpl, "load_configuration", lambda *all, **named: compositions.append(0) or load(*all, **named)
    )

    def job(node):
        own = {key: value for key, value in HydraConfig.get().items_ex(resolve=True) if key != "job_logging"}
        got.append((OmegaConf.to_container(node, resolve=True), repr(own)))
        return 0

    inspected = []
    composed = preflight("mine", arguments, inspected.append)
    hand_over("train", "mine", arguments, job, composed=composed)
    assert len(compositions) == 2  # once more to see whether mine.yaml makes it a sweep
    hand_over("train", "mine", arguments, job)
    assert len(compositions) == 4
    assert got[0] == got[1]
    assert inspected == [got[0][0]]
    assert (inspected[0]["steps"], inspected[0]["loss"]["name"]) == (70, "minimax")


@pytest.mark.usefixtures("terse")
def test_what_was_composed_is_not_composed_again_and_another_command_line_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = []
    composed = preflight("train", CliArguments(["steps=70"]), lambda node: None)
    with monkeypatch.context() as patch:
        patch.setattr(ConfigLoaderImpl, "load_configuration", lambda *_, **__: pytest.fail("composed again"))
        hand_over(
            "train", "train", CliArguments(["steps=70"]), lambda node: steps.append(node.steps) or 0, None, composed
        )
    other = CliArguments(["steps=80"])
    hand_over("train", "train", other, lambda node: steps.append(node.steps) or 0, composed=composed)
    assert steps == [70, 80]
