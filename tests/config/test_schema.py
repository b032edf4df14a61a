"""Every setting with its type and range, and every YAML under conf/."""

import copy
import dataclasses

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from narrow import narrow

from ganrun.config import registry
from ganrun.config.folders import cache_folder, data_folder
from ganrun.config.hparams import flat
from ganrun.config.hydra_bridge import compose, config_folder
from ganrun.config.schema import NAMED, check, check_plain, to_dict
from ganrun.config.settings import Latent, Train
from ganrun.errors import ConfigError, did_you_mean

CONF = config_folder()


@pytest.fixture(scope="module")
def plain(tiny_config):
    return to_dict(tiny_config)


def changed(plain, key, value):
    """A copy of the plain config with the dotted ``key`` set."""
    node = copied = copy.deepcopy(plain)
    *path, last = key.split(".")
    for part in path:
        node = node[part]
    node[last] = value
    return copied


def refusal(plain, key, value):
    with pytest.raises(ConfigError) as caught:
        check(changed(plain, key, value))
    return str(caught.value)


def value_at(config, key):
    return flat(to_dict(config))[key]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", -1, "seed must be at least 0 and at most 4294967295, not -1."),
        ("seed", 2**32, "seed must be at least 0"),
        ("steps", 0, "steps must be at least 1 and at most"),
        ("batch_size", 0, "batch_size must be at least 1"),
        ("steps_per_call", 0, "steps_per_call must be at least 1"),
        ("latent.dim", 0, "latent.dim must be at least 1"),
        ("ema.decay", 1.0, "ema.decay must be at least 0 and less than 1, not 1."),
        ("ema.decay", -0.1, "ema.decay must be at least 0 and less than 1, not -0.1."),
        ("log.every", 0, "log.every must be at least 1"),
        ("log.pictures", -1, "log.pictures must be at least 0"),
        ("checkpoint.seconds", 0, "checkpoint.seconds must be greater than 0, not 0."),
        ("checkpoint.keep", 0, "checkpoint.keep must be at least 1"),
        ("dataset.std", 0.0, "dataset.std must be at least 1e-06 and at most 1e+06, not 0."),
        ("loss.label_smoothing", 1, "loss.label_smoothing must be at least 0 and less than 1, not 1."),
        ("schedule.k", 0, "schedule.k must be at least 1 and at most 1000, not 0."),
        ("optimizer.generator.learning_rate", -1, "optimizer.generator.learning_rate must be at least 0"),
        ("optimizer.discriminator.b1", 1, "optimizer.discriminator.b1 must be at least 0 and less than 1, not 1."),
        (
            "architecture.generator_hidden",
            [8, 0],
            "architecture.generator_hidden[1] must be at least 1 and at most 1e+06, not 0.",
        ),
    ],
)
def test_a_number_out_of_its_range_is_refused_with_the_range(plain, key, value, message):
    assert refusal(plain, key, value).startswith(message)


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("seed", 0, 2**32 - 1),
        ("steps", 1, 2**31 - 1),
        ("schedule.k", 1, 1000),
        ("ema.decay", 0.0, 0.999999),
        ("optimizer.generator.learning_rate", 0.0, 10.0),
    ],
)
def test_the_ends_of_a_range_are_allowed(plain, key, low, high):
    assert [value_at(check(changed(plain, key, value)), key) for value in (low, high)] == [low, high]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("steps", "many", "steps must be a whole number, not 'many'."),
        ("steps", 1.5, "steps must be a whole number, not 1.5."),
        ("steps", None, "steps must be a whole number, not None."),
        ("steps", [1], "steps must be a whole number, not [1]."),
        ("steps", True, "steps must be a whole number, not True."),
        ("ema.decay", False, "ema.decay must be a finite number, not False."),
        ("ema.decay", "0.5", "ema.decay must be a finite number, not '0.5'."),
        ("ema.decay", float("nan"), "ema.decay must be a finite number, not nan."),
        ("checkpoint.seconds", float("inf"), "checkpoint.seconds must be a finite number, not inf."),
        ("steps", float("inf"), "steps must be a whole number, not inf."),
        ("architecture.generator_hidden", 8, "architecture.generator_hidden must be a list such as [1, 2], not 8."),
        ("architecture.generator_hidden", ["a"], "architecture.generator_hidden[0] must be a whole number, not 'a'."),
        ("architecture.generator_hidden", "88", "architecture.generator_hidden must be a list"),
        ("latent", 3, "latent must be a group of settings, not 3."),
        ("latent", None, "latent must be a group of settings, not None."),
        ("dataset", "ring", "dataset must be a group of settings, not 'ring'."),
        ("optimizer", [], "optimizer must be a group of settings, not []."),
        ("optimizer.generator", 1, "optimizer.generator must be a group of settings, not 1."),
        ("data_dir", True, "data_dir must be text, not True."),
        ("data_dir", ["a"], "data_dir must be text, not ['a']."),
        ("latent.prior", None, "latent.prior must be text, not None."),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(plain, key, value, message):
    assert refusal(plain, key, value).startswith(message)


def test_a_flag_is_true_or_false_and_no_number(plain):
    dcgan = changed(plain, "architecture", {"name": "dcgan", "batch_norm": True})
    assert check(dcgan).architecture.batch_norm is True
    for wrong in (1, 0, "true", None):
        assert "architecture.batch_norm must be true or false" in refusal(dcgan, "architecture.batch_norm", wrong)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("latent.prior", "uniformm", "latent.prior must be one of normal, uniform, not 'uniformm'."),
        ("optimizer.generator.decay", "cosin", "optimizer.generator.decay must be one of constant, cosine, linear,"),
        ("architecture.generator_norm", "layer", "architecture.generator_norm must be one of auto, batch, none, not"),
    ],
)
def test_a_word_that_is_no_choice_is_refused_with_the_choices(plain, key, value, message):
    assert refusal(plain, key, value).startswith(message)


def test_the_closest_choice_is_suggested(plain):
    assert refusal(plain, "latent.prior", "uniformm").endswith("Did you mean 'uniform'?")


@pytest.mark.parametrize(
    ("key", "message", "guess"),
    [
        ("sed", "The configuration has ", "seed"),
        ("latent.dims", "latent has dim, prior.", "dim"),
        ("dataset.mode", "dataset has modes, name, radius, std.", "modes"),
        ("optimizer.generatr", "optimizer has ", "generator"),
        ("optimizer.generator.rate", "optimizer.generator has ", "decay_rate"),
    ],
)
def test_an_unknown_key_is_refused_with_the_closest_and_the_known_ones(plain, key, message, guess):
    found = refusal(plain, key, 1)
    assert found.startswith(f"{key} is not a setting. Did you mean '{guess}'? {message}")


@pytest.mark.parametrize("key", ["dataset", "architecture", "loss", "schedule", "optimizer.discriminator"])
def test_an_unknown_option_is_refused(plain, key):
    assert f"{key.split('.')[0]} has no option 'nonsense'" in refusal(plain, f"{key}.name", "nonsense")


@pytest.mark.parametrize("key", ["dataset", "optimizer.generator"])
def test_a_group_without_a_name_is_refused(plain, key):
    assert refusal(plain, key, {}) == f"{key}.name is missing: choose one with {key.split('.')[0]}=NAME."


@pytest.mark.parametrize("key", ["dataset", "architecture", "loss", "schedule", "optimizer"])
def test_a_missing_group_is_refused(plain, key):
    assert f"{key} must be a group of settings" in refusal(plain, key, None)


def test_whole_floats_are_taken_for_integers(plain):
    # steps=1e4 on the command line is a float.
    found = check(changed(plain, "steps", 1e4)).steps
    assert (found, type(found)) == (10_000, int)


def test_integers_are_taken_for_floats(plain):
    found = check(changed(plain, "checkpoint.seconds", 7)).checkpoint.seconds
    assert (found, type(found)) == (7.0, float)


def test_lists_become_tuples_so_that_a_config_can_be_hashed(plain):
    config = check(changed(plain, "architecture.generator_hidden", [4, 5.0]))
    assert config.architecture.generator_hidden == (4, 5)
    assert isinstance(hash(config), int)


def test_a_folder_may_be_called_by_a_number(plain, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert check(changed(plain, "data_dir", 2024)).data_dir == str(tmp_path.resolve() / "2024")


def test_the_data_folder_is_the_chosen_one_then_the_environments_then_a_cache(tiny_config, tmp_path, monkeypatch):
    unset = dataclasses.replace(tiny_config, data_dir=None)
    monkeypatch.setenv("GANRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GANRUN_DATA", raising=False)
    assert data_folder(unset.data_dir) == tmp_path.resolve() / "cache" / "data"
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path / "data"))
    assert data_folder(unset.data_dir) == tmp_path.resolve() / "data"
    assert data_folder(str(tmp_path / "mine")) == tmp_path.resolve() / "mine"


def test_the_cache_folder_follows_the_desktops_convention(tmp_path, monkeypatch):
    monkeypatch.delenv("GANRUN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path.resolve() / "ganrun"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path.resolve() / ".cache" / "ganrun"


def test_a_plain_schema_is_checked_by_itself():
    assert check_plain(Latent, {"dim": 3}) == Latent(dim=3)
    told = r"^dims is not a setting\. Did you mean 'dim'\? The configuration has dim, prior\."
    with pytest.raises(ConfigError, match=told):
        check_plain(Latent, {"dims": 3})


def test_did_you_mean_answers_with_the_closest_or_with_nothing():
    assert did_you_mean("hinje", ["minimax", "hinge", "wgan"]) == " Did you mean 'hinge'?"
    assert did_you_mean("xyz", ["minimax", "hinge"]) == ""
    assert did_you_mean("xyz", []) == ""
    assert did_you_mean(12, [123]) == " Did you mean '123'?"


def numeric_keys():
    config = flat(to_dict(check(compose("train", []))))
    return sorted(key for key, value in config.items() if type(value) in (int, float))


SCALARS = (
    st.integers()
    | st.floats()
    | st.booleans()
    | st.none()
    | st.text(max_size=5)
    | st.sampled_from([10**400, -(10**400), 2**63, 1e308, 5e-324, -0.0])
)


def test_a_number_that_no_float_holds_is_refused_like_any_other(plain):
    assert refusal(plain, "seed", 10**400).startswith("seed must be at least 0 and at most")
    assert refusal(plain, "checkpoint.seconds", 10**400).startswith("checkpoint.seconds must be a finite number")


@pytest.mark.parametrize("key", numeric_keys())
@settings(deadline=None, max_examples=20)
@given(value=SCALARS)
def test_any_scalar_gives_a_config_or_a_config_error(plain, key, value):
    try:
        config = check(changed(plain, key, value))
    except ConfigError as error:
        assert key in str(error)
        return
    found = value_at(config, key)
    if value is None:  # which ganrun fills in
        assert key == "log.every" and found == 50
    else:
        assert found == type(found)(value) and not isinstance(value, bool)
    assert check(to_dict(config)) == config


@settings(deadline=None, max_examples=25)
@given(
    junk=st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))
)
def test_any_tree_in_the_place_of_a_group_gives_a_config_or_a_config_error(plain, junk):
    for key in ("dataset", "optimizer", "latent", "architecture.generator_hidden"):
        try:
            config = check(changed(plain, key, junk))
        except ConfigError:
            continue
        assert check(to_dict(config)) == config


# --- every YAML under conf/ ---


def yamls(*groups):
    return sorted(path for group in groups for path in (CONF / group).glob("*.yaml"))


def named(path):
    return str(path.relative_to(CONF).with_suffix(""))


GROUPS = sorted(path.name for path in CONF.iterdir() if path.is_dir())
CHOICES = [f"{path.parent.name}={path.stem}" for path in yamls(*GROUPS)]
ON = {
    "architecture=dcgan": ("dataset=digits",),
    "architecture=resnet": ("dataset=digits",),
    "architecture=r3gan": ("dataset=digits",),
    "architecture=r3gan2": ("dataset=digits",),
    "architecture=dirac": ("dataset=dirac",),
    "architecture=conv_vae": ("method=vae", "dataset=digits"),
    "architecture=mlp_vae": ("method=vae",),
    "architecture=fvsbn": ("method=autoregressive",),
    "architecture=made": ("method=autoregressive",),
    "architecture=pixelcnn": ("method=autoregressive", "dataset=digits"),
    "architecture=realnvp": ("method=flow",),
    "architecture=spline": ("method=flow",),
    "architecture=mlp_denoiser": ("method=gsn",),
    "method=rbm": ("dataset=digits",),
    "method=dbm": ("dataset=digits",),
}


def composed(choice, compose_config):
    """The config of one choice with the narrowest networks, on images where the architecture needs them."""
    overrides = [choice, *ON.get(choice, ())]
    return compose_config([*overrides, *narrow(compose_config(overrides))])


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=named)
def test_every_yaml_says_first_what_it_is(path):
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "@package" not in line]
    assert lines[0].startswith("# ")
    assert len(lines[0]) > 10 and lines[0][2].isupper()


@pytest.mark.parametrize("path", yamls(*GROUPS), ids=named)
def test_every_yaml_has_its_option_and_its_name(path):
    group, name = path.parent.name, path.stem
    if group in registry.GROUP_MODULES and group != "optimizer":
        node = yaml.safe_load(path.read_text(encoding="utf-8"))
        if group in NAMED:  # any number of them: each stands under its name
            placed = f"# @package {group}.{name}" == path.read_text(encoding="utf-8").splitlines()[0]
            assert node is None if name == "none" else placed
            return
        assert node.get(group, node)["name"] == name


@pytest.mark.parametrize("group", sorted(registry.GROUP_MODULES))
def test_every_option_has_its_yaml(group):
    assert set(registry.options(group)) <= {path.stem for path in yamls(group)}


@pytest.mark.parametrize("choice", CHOICES)
def test_every_yaml_composes_and_survives_a_round_trip(choice, compose_config):
    config = compose_config([choice])
    assert check(to_dict(config)) == config
    assert check(yaml.safe_load(yaml.safe_dump(to_dict(config)))) == config


def test_the_defaults_of_train_are_those_of_the_schema(compose_config, monkeypatch):
    monkeypatch.delenv("GANRUN_DATA", raising=False)
    found = to_dict(compose_config([]))
    groups = ("dataset", "architecture", "method", "loss", "schedule", "optimizer", "probe", "metric")
    assert {key: value for key, value in found.items() if key not in groups} == {
        key: value for key, value in to_dict(Train()).items() if key not in groups
    }


@pytest.mark.parametrize("choice", [choice for choice in CHOICES if not choice.startswith("experiment=")])
def test_the_values_of_a_yaml_are_the_defaults_of_its_option(choice, compose_config):
    group, _, name = choice.partition("=")
    if name not in registry.options(group):
        return  # adam_image: a preset of an option that has a YAML of its own
    config, default = compose_config([choice]), registry.lookup(group, name)()
    if group == "optimizer":
        assert (config.optimizer.generator, config.optimizer.discriminator) == (default, default)
    elif group in NAMED:
        assert getattr(config, group) == (default,)
    else:
        assert getattr(config, group) == default


def test_the_yaml_of_an_option_lists_all_of_its_fields():
    for group in registry.GROUP_MODULES:
        for name, option in registry.options(group).items():
            node = yaml.safe_load((CONF / group / f"{name}.yaml").read_text(encoding="utf-8"))
            sides = [node["generator"], node["discriminator"]] if group == "optimizer" else [node.get(group, node)]
            fields = {field.name for field in dataclasses.fields(option)} - ({"name"} if group in NAMED else set())
            assert all(set(side) == fields for side in sides), f"{group}/{name}.yaml"


@pytest.mark.parametrize("choice", CHOICES)
def test_every_yaml_builds_networks_for_its_data(choice, compose_config):
    config = composed(choice, compose_config)
    shape = config.dataset.shape or (8, 8, 1)  # that of a user's files is known once they are open
    method = config.method.build(config, shape)
    assert isinstance(hash(method), int) and method == config.method.build(config, shape)


def test_a_preset_loses_to_the_command_line(compose_config):
    config = compose_config(["experiment=goodfellow2014", "loss=minimax", "batch_size=7", "latent.dim=3"])
    assert (config.loss.name, config.batch_size, config.latent.dim) == ("minimax", 7, 3)
    assert (config.architecture.name, config.latent.prior, config.steps) == ("maxout", "uniform", 150_000)


def test_images_choose_their_own_optimizer_and_latent(compose_config):
    config = compose_config(["dataset=digits"])
    assert (config.optimizer.generator.learning_rate, config.latent.dim) == (2e-4, 64)
    assert compose_config(["dataset=digits", "optimizer=sgd", "latent.dim=9"]).latent.dim == 9
