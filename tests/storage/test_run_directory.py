"""Finding run directories, reading what they say, and what a resumed run may not change."""

import dataclasses
import os

import pytest
import yaml

from ganrun.config.hparams import flat
from ganrun.config.schema import to_dict
from ganrun.config.settings import Checkpoint, Ema, Log
from ganrun.errors import ConfigError
from ganrun.storage.run_directory import changed_names, changed_settings, find_run, load_config, save_config


def make_run(folder, when=0):
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 0\n")
    os.utime(folder / "config.yaml", (when, when))
    return folder


def test_a_run_is_found_by_its_folder(tmp_path):
    run = make_run(tmp_path / "a")
    assert find_run(str(run)) == run.resolve()


def test_a_run_is_found_from_its_parent(tmp_path, monkeypatch):
    run = make_run(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    assert find_run("a") == run.resolve()


def test_latest_is_the_newest_however_deep_and_whatever_its_name(tmp_path):
    make_run(tmp_path / "z" / "late name", when=1_000)
    newest = make_run(tmp_path / "sweeps" / "day" / "time" / "0", when=3_000)
    make_run(tmp_path / "a", when=2_000)
    assert find_run("latest", tmp_path) == newest.resolve()


@pytest.mark.parametrize("outputs", [".", "nothing"])
def test_latest_of_nothing_says_where_it_looked(tmp_path, outputs):
    with pytest.raises(ConfigError, match="there is no run under") as caught:
        find_run("latest", tmp_path / outputs)
    assert str((tmp_path / outputs).resolve()) in str(caught.value)


def test_a_folder_without_a_config_is_not_a_run(tmp_path):
    with pytest.raises(ConfigError, match=r"is not a run directory: it has no config\.yaml"):
        find_run(str(tmp_path))


def test_a_folder_of_runs_is_answered_with_one_of_them(tmp_path):
    for name in ("1-seed=1", "0-seed=0"):
        make_run(tmp_path / "at 12:30" / name)
    with pytest.raises(ConfigError) as caught:
        find_run(folder := str(tmp_path / "at 12:30"))
    assert str(caught.value) == f"{folder} is not a run directory but holds 2, such as 0-seed=0: it has no config.yaml."


def test_a_missing_run_is_answered_with_the_closest(tmp_path):
    make_run(tmp_path / "first-run")
    with pytest.raises(ConfigError) as caught:
        find_run(str(tmp_path / "frist-run"))
    assert "there is no run directory" in str(caught.value)
    assert f"Did you mean '{tmp_path / 'first-run'}'?" in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere/at/all", ""])
def test_a_run_that_is_nowhere_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        find_run(name)


def test_a_saved_config_is_read_back(tmp_path, tiny_config):
    save_config(tiny_config, tmp_path)
    assert load_config(tmp_path) == tiny_config


def test_a_saved_config_does_not_repeat_a_resumption(tmp_path, tiny_config):
    save_config(dataclasses.replace(tiny_config, resume="latest"), tmp_path)
    assert load_config(tmp_path).resume is None


def test_a_run_without_a_config_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"just words",
        b"- a\n- list",
        b"a: [1, 2",
        b"a: b: c",
        b"\xff\xfe\x00\xd8",
        b"a: \x00",
        b"seed: !!python/object/apply:os.system ['true']",
        b"&a [*a]",
        b"{[1, 2]: 3}",
        b"seed: 0",
        b"12: 13",
        b"seed: 2024-13-45",  # PyYAML takes it for a date and raises a plain ValueError
        b"seed: " + b"9" * 5000,  # longer than Python turns into an int
        b"seed: " + b"9" * 400,  # an int that no float holds
    ],
)
def test_garbage_in_the_place_of_a_config_is_told_in_few_lines(tmp_path, tiny_config, content):
    save_config(tiny_config, tmp_path)
    path = tmp_path / "config.yaml"
    if content.startswith(b"seed: ") and content != b"seed: 0":
        path.write_bytes(path.read_bytes().replace(b"seed: 0", content))
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert len(str(caught.value).splitlines()) <= 2


def test_a_wrong_setting_in_a_config_is_named(tmp_path, tiny_config):
    node = to_dict(tiny_config)
    node["ema"]["decay"] = 2.0
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(node))
    with pytest.raises(ConfigError, match=r"ema\.decay must be at least 0 and less than 1, not 2"):
        load_config(tmp_path)


def test_settings_become_flat():
    assert flat({"a": 1, "b": {"c": 2, "d": {"e": [3]}}}) == {"a": 1, "b.c": 2, "b.d.e": [3]}


def test_a_resumed_run_may_be_longer_and_log_otherwise(tiny_config):
    changed = dataclasses.replace(
        tiny_config,
        steps=99_999,
        steps_per_call=3,
        data_dir="/elsewhere",
        resume="latest",
        log=Log(every=1, pictures=0),
        checkpoint=Checkpoint(seconds=1.0, steps=5, keep=9),
    )
    assert changed_settings(tiny_config, changed) == []


def test_a_resumed_run_may_not_compute_something_else(tiny_config):
    changed = dataclasses.replace(tiny_config, seed=5, batch_size=17, ema=Ema(decay=0.5))
    assert sorted(changed_settings(tiny_config, changed)) == [
        ("batch_size", 16, 17),
        ("ema.decay", 0.999, 0.5),
        ("seed", 0, 5),
    ]


def test_another_option_shows_the_settings_that_came_and_went(tiny_config, compose_config):
    narrow = ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]", "batch_size=16")
    changed = compose_config(["dataset=gaussian", "latent.dim=2", *narrow])
    found = {key: (before, now) for key, before, now in changed_settings(tiny_config, changed)}
    assert found == {
        "dataset.name": ("ring", "gaussian"),
        "dataset.modes": (8, None),
        "dataset.radius": (2.0, None),
        "dataset.mean": (None, 0.0),
        "dataset.std": (0.02, 1.0),
    }


def test_all_changes_have_names_and_those_within_another_option_that_of_the_group(tiny_config, compose_config):
    other = dataclasses.replace(
        compose_config(["dataset=gaussian", "metric=exact"]),  # the latent dimension of gaussian is 1, that of ring 2
        steps=9,
        seed=3,
        batch_size=16,
        architecture=tiny_config.architecture,
        schedule=dataclasses.replace(tiny_config.schedule, k=2),
        probe=tiny_config.probe,
        evaluate=tiny_config.evaluate,
    )
    assert changed_names(tiny_config, other) == ["seed", "dataset", "schedule.k", "metric", "latent.dim"]
    assert changed_names(tiny_config, dataclasses.replace(tiny_config, resume="x", plugins=("y",))) == []


def test_a_config_that_would_pull_in_other_files_is_refused(tmp_path, tiny_config):
    save_config(tiny_config, tmp_path)
    path = tmp_path / "config.yaml"
    path.write_text(path.read_text().replace("- settings", "- settings\n- elsewhere"))
    with pytest.raises(ConfigError, match="defaults list that ganrun did not write"):
        load_config(tmp_path)


def test_a_config_with_a_target_or_a_hydra_section_is_refused(tmp_path, tiny_config):
    save_config(tiny_config, tmp_path)
    path = tmp_path / "config.yaml"
    whole = path.read_text()
    for more, named in (
        ("hydra:\n  callbacks:\n    x: {_target_: os.system}\n", "hydra"),
        ("_target_: a.b\n", "_target_"),
    ):
        path.write_text(whole + more)
        with pytest.raises(ConfigError, match=f"{named} is not a setting"):
            load_config(tmp_path)
