"""Averages of any width, rebuilt from what runs have stored, beside the same averages of every single step."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

import ganrun
from ganrun.commands import eval as eval_command
from ganrun.commands import export, jsd, sample
from ganrun.errors import ConfigError, GanrunError
from ganrun.evaluation.divergence.open_distribution import open_distribution
from ganrun.evaluation.divergence.run_distribution import model_distribution
from ganrun.evaluation.load_run import load_run
from ganrun.evaluation.rebuilt_average import rebuilt
from ganrun.methods.power_average import exponent
from ganrun.storage.run_directory import load_config
from ganrun.storage.state_arrays import flatten
from ganrun.training.build import build
from ganrun.training.executor import SingleRun, executor_for
from ganrun.training.sweep import train_all
from ganrun.training.sweep_plan import Job
from ganrun.training.train import train

SMALL = (
    *("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]", "batch_size=16", "probe=off"),
    *("dataset=gaussian", "latent.dim=1", "metric=none", "log.pictures=0", "log.every=100"),
    *("steps=400", "checkpoint.steps=150", "checkpoint.keep=9"),
)
# Large steps, so that averages of different widths differ.
MOVING = ("optimizer=sgd", "optimizer.generator.learning_rate=0.3", "optimizer.discriminator.learning_rate=0.3")
AVERAGES = ("ema.sigma_rel=[0.05,0.1]",)
WIDTHS = (0.05, 0.07, 0.12, 0.15)


@pytest.fixture(scope="module")
def config(compose_config):
    return compose_config((*SMALL, *MOVING, *AVERAGES))


@pytest.fixture(scope="module")
def folder(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("averaged") / "run"
    assert train(config, folder) == 0
    return folder


def history(executor, steps):
    """The generator's variables after each step of each run, as vectors ``(run, step, weights)``, taken one by one."""
    state, rows = executor.init(), []
    for _ in range(steps):
        state, _ = executor.advance(state, 1)
        rows.append([vector(member.model.generator.variables) for member in executor.apart(state)])
    return np.swapaxes(np.array(rows, np.float64), 0, 1)


def vector(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def live(weights, sigma_rel):
    """The average of ``weights`` (step, weight): weight s^(γ + 1) - (s - 1)^(γ + 1), divided by the sum of all."""
    steps = np.arange(len(weights) + 1) / len(weights)
    return np.diff(steps ** (exponent(sigma_rel) + 1)) @ weights


def relative(found, wanted):
    return np.linalg.norm(vector(found) - wanted) / np.linalg.norm(wanted)


@pytest.fixture(scope="module")
def alone(config):
    return history(SingleRun(build(config)), config.steps)[0]


def test_any_width_is_that_of_an_average_of_every_step(folder, config, alone):
    experiment, state = load_run(folder, config)
    np.testing.assert_array_equal(vector(state.model.generator.variables), alone[-1])  # the same run
    assert relative(rebuilt(folder, experiment, state, 0.05)[0], live(alone, 0.12)) > 0.01  # widths do matter
    for sigma_rel in WIDTHS:
        found, difference = rebuilt(folder, experiment, state, sigma_rel)
        assert relative(found, live(alone, sigma_rel)) < 1e-3
        assert (difference == 0) == (sigma_rel == 0.05) and difference < 2e-3
    np.testing.assert_array_equal(vector(rebuilt(folder, experiment, state, 0.1)[0]), vector(state.averages[1]))


def test_an_average_at_an_earlier_checkpoint_uses_what_was_stored_before(folder, config, alone):
    experiment, state = load_run(folder, config, "300")
    found, difference = rebuilt(folder, experiment, state, 0.12)
    assert relative(found, live(alone[:300], 0.12)) < 1e-3 and 0 < difference < 2e-3


def test_members_of_other_widths_share_a_program_and_rebuild_their_own(config, tmp_path):
    widths = ((0.05, 0.1), (0.04, 0.09))
    configs = [
        dataclasses.replace(config, seed=seed, ema=dataclasses.replace(config.ema, sigma_rel=own))
        for seed, own in enumerate(widths)
    ]
    jobs = [Job(one, tmp_path / str(i)) for i, one in enumerate(configs)]
    assert train_all(jobs, tmp_path) == [0, 0]
    rows = history(executor_for([build(one) for one in configs]), config.steps)
    for job, weights in zip(jobs, rows, strict=True):
        experiment, state = load_run(job.folder, job.config)
        np.testing.assert_array_equal(vector(state.model.generator.variables), weights[-1])
        assert relative(rebuilt(job.folder, experiment, state, 0.07)[0], live(weights, 0.07)) < 1e-3
        assert relative(state.averages[1], live(weights, job.config.ema.sigma_rel[1])) < 1e-5


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in (folder / "averages").rglob("*") if path.is_file()}


def test_a_run_killed_between_checkpoints_stores_the_same_averages_again(folder, config, tmp_path):
    # Killed after step 230: the newest checkpoint is that of step 150, averages are stored up to step 230.
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    (copy / "summary.json").unlink()
    for step in (300, 400):
        shutil.rmtree(copy / "checkpoints" / str(step))
    for path in (copy / "averages").iterdir():
        if int(path.name) > 230:
            shutil.rmtree(path)
    (copy / "averages" / "200" / "state.safetensors").write_bytes(b"of other steps")
    (copy / "averages" / "210.unfinished").mkdir()
    assert train(config, copy, resume=True) == 0
    assert files(copy) == files(folder) and len(files(copy)) == 3 * 40
    one, other = (flatten(load_run(run, config)[1]) for run in (copy, folder))
    assert {name: array.tobytes() for name, array in one.items()} == {n: array.tobytes() for n, array in other.items()}


def test_an_average_that_is_damaged_is_left_out_with_a_line(folder, config, alone, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    (copy / "averages" / "200" / "state.safetensors").write_bytes(b"nonsense")
    experiment, state = load_run(copy, config)
    found, difference = rebuilt(copy, experiment, state, 0.12)
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{copy / 'averages' / '200'} cannot be read" in line and line.endswith("It is left out.")
    assert relative(found, live(alone, 0.12)) < 3e-3 and difference < 0.01


def test_a_run_without_widths_has_no_averages_and_says_so(compose_config, tmp_path):
    config = compose_config((*SMALL, *MOVING, "steps=20"))
    assert train(config, tmp_path / "run") == 0
    assert not (tmp_path / "run" / "averages").exists()
    experiment, state = load_run(tmp_path / "run", config)
    assert not [name for name in flatten(state) if "average" in name and not name.startswith("model/average")]
    with pytest.raises(GanrunError, match=r"run has no averages at step 20 from which that of sigma_rel=0\.12 can be "):
        rebuilt(tmp_path / "run", experiment, state, 0.12)


def test_a_width_that_is_too_narrow_for_what_is_stored_is_refused(compose_config, tmp_path):
    config = compose_config((*SMALL, *MOVING, "steps=20", "ema.sigma_rel=[0.2]", "ema.snapshots=2"))
    assert train(config, tmp_path / "run") == 0
    with pytest.raises(GanrunError, match=r"sigma_rel=0\.01 cannot be rebuilt at step 20 of .*differ by [0-9]+%\.$"):
        ganrun.load_run(str(tmp_path / "run")).sample(2, sigma_rel=0.01)


def test_the_commands_use_the_average_of_a_width(folder, tmp_path, capsys):
    run, out = ganrun.load_run(str(folder)), tmp_path / "drawn.npy"
    assert sample.main([f"run={folder}", "n=50", "sigma_rel=0.12", f"out={out}"]) == 0
    assert "step 400, averaged (sigma_rel=0.12, profile within 0.057 %) weights, in" in capsys.readouterr().out
    np.testing.assert_array_equal(np.load(out), run.sample(50, sigma_rel=0.12))
    assert (run.sample(50, sigma_rel=0.12) != run.sample(50)).any()
    assert eval_command.main([f"run={folder}", "sigma_rel=0.1", "metrics=jsd/exact", "n=50"]) == 0
    assert "averaged (sigma_rel=0.1) generator" in capsys.readouterr().out


def test_an_export_has_the_average_of_a_width_and_says_so(folder, tmp_path, capsys):
    out = tmp_path / "model"
    words = (f"run={folder}", f"out={out}", "formats=[safetensors]", "sigma_rel=0.12")
    assert export.main(list(words)) == 0
    assert "step 400, power-function average (sigma_rel=0.12) weights" in capsys.readouterr().out
    experiment, state = load_run(folder, load_config(folder))
    wanted = flatten(rebuilt(folder, experiment, state, 0.12)[0])
    found = load_file(out / "model.safetensors")
    assert {f"generator/{name}" for name in wanted} == set(found)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[f"generator/{name}"], array)
    card = (out / "README.md").read_text()
    assert "their power-function average of the relative width 0.12" in card and "seed=0, sigma_rel=0.12)" in card
    assert "exponential moving average of the weights, which is not exported" in card


def test_a_divergence_is_that_of_the_average_of_a_width(folder):
    def samples(**which):
        return open_distribution(str(folder), key=None, data_dir=None, **which)

    one, other = samples(sigma_rel=0.12), samples()
    assert "step 400, averaged (sigma_rel=0.12, profile within" in one.about
    np.testing.assert_array_equal(one.draw(64, 3).ravel(), drawn_at(folder, 0.12, 3))
    assert (one.draw(64, 3) != other.draw(64, 3)).any()


def drawn_at(folder, sigma_rel, seed):
    """64 samples of the rebuilt average, as a distribution draws them."""
    experiment, state = load_run(folder, load_config(folder))
    variables, _ = rebuilt(folder, experiment, state, sigma_rel)
    return model_distribution("", experiment, variables).draw(64, seed).ravel()


def test_only_a_run_has_averages():
    with pytest.raises(ConfigError, match=r"sigma_rel=0\.1 belongs to runs, but neither A nor B is one\."):
        jsd.main(["ring", "grid", "sigma_rel=0.1"])


@pytest.mark.parametrize("command", [sample.main, eval_command.main, export.main])
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("sigma_rel=0.3",), "sigma_rel must be at least 0.005 and at most 0.28, not 0.3."),
        (("sigma_rel=0.1", "average=false"), "sigma_rel=0.1 is an average of the weights: leave out average=false."),
    ],
)
def test_commands_refuse_what_is_no_width(command, words, line, folder, tmp_path):
    with pytest.raises(ConfigError) as error:
        command([f"run={folder}", f"out={tmp_path / 'a.npy'}", *words])
    assert str(error.value) == line


@pytest.mark.parametrize(("words", "line"), [("[0.1,0.3]", "ema.sigma_rel[1] must be at least 0.005 and at most 0.28")])
def test_a_run_is_refused_widths_beyond_those_of_a_power_function(words, line, compose_config):
    with pytest.raises(ConfigError) as error:
        compose_config((f"ema.sigma_rel={words}",))
    assert str(error.value).startswith(line)
