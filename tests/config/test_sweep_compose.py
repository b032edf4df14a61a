"""Composing many jobs from a few bases gives what composing each of them gives, and says the same of what is wrong."""

import copy

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobRuntime
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from ganrun.config import hydra_bridge
from ganrun.config.hydra_bridge import compose, compose_each, groups
from ganrun.config.sweep_compose import Composer, number_of, parse
from ganrun.errors import ConfigError

JOBS = (
    [],
    ["seed=3"],
    ["steps=200", "ema.decay=0", "latent.dim=5"],
    ["optimizer.generator.learning_rate=1e-4", "optimizer.discriminator.b1=0.25"],
    ["architecture.generator_hidden=[8,16]", "architecture.discriminator_hidden=[]"],
    ["dataset=mixture1d", "dataset.means=[0,1.5,-2]", "dataset.stds=[1,1,1]", "dataset.weights=[1,2,3]"],
    ["loss=minimax", "loss.label_smoothing=0.1"],
    ["loss=hinge", "seed=1"],
    ["experiment=dcgan"],
    ["experiment=dcgan", "latent.dim=7", "batch_size=9"],
    ["batch_size=9", "experiment=goodfellow2014", "optimizer.generator.momentum=0.25"],
    ["dataset=digits", "architecture=dcgan", "architecture.width=4"],
    ["latent={dim: 3, prior: uniform}", "latent.dim=4"],
    ["optimizer.generator={learning_rate: 0.5, decay: linear}"],
    ["loss={label_smoothing: 0.2}"],
    ["loss.label_smoothing=0.1", "loss={label_smoothing: 0.2}"],
    ["data_dir=null"],
    ["data_dir='a folder, with $igns and \"quotes\"'"],
    ['data_dir="it\'s"'],
    ["data_dir='2024'"],
    ["data_dir='null'"],
    ["data_dir=2024"],
    ["data_dir='\\${seed}'"],
    ["data_dir='${seed}'", "seed=12"],
    ["batch_size=${steps}", "steps=11"],
    ["seed=true", "steps=off", "batch_size=1e3", "latent.prior=NULL"],
    ["+extra=1", "seed=2"],
    ["+loss.extra={a: [1, 2]}", "loss.extra.a=[3]"],
    ["~ema", "seed=2"],
    ["~ema.decay", "loss=hinge"],
    ["++seed=2", "seed=1"],
    ["seed=1", "++seed=2"],
    ["seed=1", "~seed"],
    ["latent={dim: 3}", "++latent={prior: uniform}"],
    ["hydra.run.dir=elsewhere", "seed=1"],
    ["latent=null"],
    ["probe=off", "probe.name=streaming"],
)

WRONG = (
    ["sed=1"],
    ["seed=1", "loss.label_smoothin=0.1"],
    ["optimizer.generator.lr=0.1"],
    ["latent.dim.more=1"],
    ["architecture.generator_hidden.0=4"],
    ["+seed=1"],
    ["~seed", "seed=1"],
    ["extra=2", "+extra=1"],
    ["latent=3", "latent.dim=3"],
    ["loss=minimaks"],
    ["loss=3", "seed=1"],
    ["seed=1,2"],
    ["seed=[1"],
    ["data_dir=${nothing}"],
    ["seed=${oc.env:GANRUN_NO_SUCH_VARIABLE}"],
    ["loss@package=minimax"],
)


class Whole:
    """Composes every list of overrides in one go."""

    def __init__(self, compose, groups):
        self.compose = compose

    def plain(self, overrides):
        return None

    def __call__(self, overrides):
        return self.compose(overrides)


@pytest.fixture(scope="module")
def composed_whole():
    """Compose a list of overrides in one go, with no base kept; the config or the line that says what is wrong."""

    def composed(overrides):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hydra_bridge, "Composer", Whole)
            return outcome(compose_each("train", [overrides]))

    return composed


def outcome(configs):
    try:
        return next(configs)
    except ConfigError as error:
        return f"refused: {error}"


@pytest.fixture(scope="module")
def from_bases():
    """Compose all of JOBS one after another: whatever one of them leaves behind, the next ones meet."""
    return dict(zip(map(tuple, JOBS), compose_each("train", [list(job) for job in JOBS]), strict=True))


@pytest.mark.parametrize("job", JOBS, ids=" ".join)
def test_a_job_filled_in_from_a_base_is_the_job_composed_whole(job, from_bases, composed_whole):
    whole = composed_whole(job)
    assert from_bases[tuple(job)] == whole and isinstance(whole, dict)
    # The kinds of numbers too: 1 == 1.0 == True.
    assert repr(from_bases[tuple(job)]) == repr(whole)


@pytest.mark.parametrize("job", WRONG, ids=" ".join)
def test_what_is_wrong_is_told_in_the_same_words(job, composed_whole):
    whole = composed_whole(job)
    assert isinstance(whole, str) and len(whole.splitlines()) == 1
    configs = compose_each("train", [["seed=7"], job])
    assert next(configs)["seed"] == 7
    assert outcome(configs) == whole


def test_an_unknown_key_is_answered_with_the_one_that_was_meant():
    configs = compose_each("train", [["seed=7"], ["loss.label_smoothin=0.1"]])
    next(configs)
    with pytest.raises(ConfigError, match=r"^'loss\.label_smoothin' is not a setting\. Did you mean loss\.label_smoo"):
        next(configs)


POOL = (
    "seed=1",
    "seed=2",
    "++seed=3",
    "~seed",
    "loss=hinge",
    "loss=minimax",
    "loss.label_smoothing=0.1",
    "loss={label_smoothing: 0.2}",
    "latent={dim: 3}",
    "latent.dim=4",
    "dataset=digits",
    "batch_size=${seed}",
    "+extra=5",
    "extra=6",
)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from(POOL), max_size=4, unique=True))
def test_the_order_of_overrides_means_what_it_means_to_hydra(job):
    with pytest.MonkeyPatch.context() as patch:
        quick = outcome(compose_each("train", [job]))
        patch.setattr(hydra_bridge, "Composer", Whole)
        assert quick == outcome(compose_each("train", [job]))


NUMBERS = ("0", "-0", "7", "-12", "0.5", "-0.25", "1e3", "1E-4", "2.5e+2", "10.0", "123456789012345678901")
NO_NUMBERS = ("007", "1_000", "+3", ".5", "5.", "1e", "true", "inf", "nan", "0x10", "1,2", "'3'", "\u0663", "")


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_is_read_as_hydra_reads_it(text):
    (override,) = parse([f"latent.dim={text}"])
    assert repr(number_of(f"latent.dim={text}")) == repr((override.key_or_group, override.value()))


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_may_be_no_number_is_left_to_hydra(text):
    assert number_of(f"seed={text}") is None
    assert number_of("+seed=1") is None and number_of("seed.=1") is None


def test_jobs_that_differ_in_values_are_composed_once_and_share_the_rest():
    compose = Counted()
    compose.twice = False
    composer = Composer(compose, ["loss"])
    found = [composer.plain([f"seed={seed}", "loss=a", "sizes=[5]"]) for seed in range(3)]
    assert compose.asked == [["loss=a"]]
    assert [one and one["seed"] for one in found] == [0, 1, 2]
    assert found[0] is not None and found[1] is not None
    assert found[0]["sizes"] == [5] and found[0]["loss"] is found[1]["loss"]
    assert composer.plain(["seed=1", "loss=a", "other=1"]) is None  # Hydra says what is wrong
    compose.twice = True
    assert Composer(compose, ["loss"]).plain(["seed=1"]) is None  # another value depends on it


class Counted:
    """Composes from a small config, and remembers what it was asked for."""

    def __init__(self):
        self.asked = []
        self.twice = True

    def __call__(self, overrides):
        self.asked.append(list(overrides))
        loss = next((text.partition("=")[2] for text in overrides if text.startswith("loss=")), "minimax")
        more = {"twice": "${seed}${seed}"} if self.twice else {}
        return OmegaConf.create({"seed": 0, **more, "loss": {"name": loss}, "sizes": [1, 2]})


def test_only_choices_are_composed_and_each_of_them_once():
    compose = Counted()
    composer = Composer(compose, ["loss"])
    found = [composer([f"seed={seed}", f"loss={loss}", "sizes=[5]"]) for seed in range(4) for loss in ("a", "b")]
    assert compose.asked == [["loss=a"], ["loss=b"]]
    assert [(one.seed, one.loss.name, one.twice) for one in found[:3]] == [
        (0, "a", "00"),
        (0, "b", "00"),
        (1, "a", "11"),
    ]
    assert all(list(one.sizes) == [5] for one in found)


def test_a_config_that_is_changed_afterwards_changes_no_other():
    composer = Composer(Counted(), ["loss"])
    first = composer(["seed=1"])
    first.sizes.append(9)
    first.loss.name = "changed"
    second = composer([])
    assert second == {"seed": 0, "twice": "00", "loss": {"name": "minimax"}, "sizes": [1, 2]}


def test_composing_leaves_the_overrides_it_was_given():
    job = ["seed=1", "loss=hinge", "latent={dim: 3}"]
    before = copy.deepcopy(job)
    list(compose_each("train", [job, job]))
    assert job == before


def test_composing_within_another_hydra_application_leaves_that_as_it_was(tmp_path):
    (tmp_path / "theirs.yaml").write_text("answer: 42\n", encoding="utf-8")
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.2", job_name="theirs"):
        assert compose("train", ["steps=7"])["steps"] == 7
        assert hydra.compose("theirs") == {"answer": 42}
        assert JobRuntime.instance().get("name") == "theirs"
        assert str(hydra.version.getbase()) == "1.2"
    assert not GlobalHydra.instance().is_initialized()


def test_every_group_of_conf_counts_as_a_choice():
    compose = Counted()
    composer = Composer(compose, groups())
    for group in groups():
        composer([f"{group}=something"])
    assert compose.asked == [[f"{group}=something"] for group in groups()]
    assert {"loss", "dataset", "optimizer", "experiment", "architecture"} <= set(groups())
