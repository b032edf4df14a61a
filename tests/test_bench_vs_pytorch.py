"""The comparison with PyTorch: both sides train the same, and the tables say what was measured."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import jax
import pytest
import yaml

from ganrun.methods.run_state import create

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.fixture
def script():
    return importlib.import_module("bench_vs_pytorch")


@pytest.fixture
def problems():
    return importlib.import_module("bench_pytorch.problems")


@pytest.fixture
def workers():
    return importlib.import_module("bench_pytorch.workers")


NAMES = ("ring", "mnist_mlp", "dcgan28", "dcgan32", "resnet", "r3gan")


@pytest.mark.parametrize("name", NAMES)
def test_both_sides_have_the_same_settings(name, problems, compose_config):
    problem = problems.PROBLEMS[name]
    words = problem.overrides
    if words[: len(problems.RANDOM)] == problems.RANDOM:  # a plugin, whose settings are tested below
        words = ("dataset=mnist", *words[len(problems.RANDOM) :])
    config = compose_config(words)
    assert (config.latent.dim, config.latent.prior, config.batch_size) == (problem.latent, "normal", problem.batch)
    assert config.loss.name == problem.loss and config.schedule.k == problem.k
    assert tuple(penalty.name for penalty in config.penalty) == problem.penalties
    assert all(penalty.weight == problems.WEIGHTS[penalty.name] for penalty in config.penalty)
    for network in (config.optimizer.generator, config.optimizer.discriminator):
        assert (network.name, network.learning_rate, network.eps) == ("adam", problem.rate, 1e-8)
        assert (network.b1, network.b2) == problem.betas
        assert network.decay == ("cosine" if problem.cosine else "constant")
    assert not problem.cosine or config.steps == problem.cosine


def test_the_random_images_have_the_settings_of_their_problem(problems):
    (path,) = problems.PLUGIN.glob("bench_images/conf/dataset/*.yaml")
    node = yaml.safe_load(path.read_text(encoding="utf-8"))
    problem = problems.PROBLEMS["dcgan32"]
    assert (node["latent"]["dim"], node["batch_size"]) == (problem.latent, problem.batch)
    assert {"override /optimizer": "adam_image"} in node["defaults"]
    assert f"dataset={path.stem}" in problem.overrides


def test_the_worker_of_ganrun_answers_and_reports_what_it_cannot_do(workers, problems, tmp_path):
    setting = workers.Setting()
    words = [*problems.RANDOM, "architecture=dcgan", "architecture.width=4", "batch_size=4", "probe=off"]
    with workers.ganrun_worker(words, setting) as worker:
        assert worker.ask("steps", n=3) > 0
        found = worker.ask("describe")
        # G: 100-4096 to 4x4x16, batch norm, 16-8-4 with batch norm, 4-3. D: 3-4-8-16 with batch norm, 256-1.
        generator = 101 * 256 + 2 * 16 + (16 * 16 + 1) * 8 + 2 * 8 + (16 * 8 + 1) * 4 + 2 * 4 + (16 * 4 + 1) * 3
        discriminator = (16 * 3 + 1) * 4 + (16 * 4 + 1) * 8 + 2 * 8 + (16 * 8 + 1) * 16 + 2 * 16 + 257
        assert found["parameters"] == generator + discriminator
        assert (found["batch"], found["k"], len(found["dominant"])) == (4, 1, 4)
        assert worker.ask("images", path=str(tmp_path / "x.npy")) and (tmp_path / "x.npy").stat().st_size > 30_000_000
        assert worker.ask("loop", n=2) > 0
        with pytest.raises(workers.WorkerError, match="ValueError: there is no rest"):
            worker.ask("rest")


def test_a_process_that_ends_is_an_error_and_not_a_hang(workers):
    worker = workers.Worker([sys.executable, "-c", "raise SystemExit(3)"], workers.Setting())
    with worker, pytest.raises(workers.WorkerError, match=r"the process (ended with code 3|has ended)"):
        worker.ask("steps", n=1)


def test_a_command_is_timed_up_to_its_first_step_and_to_its_end(workers, tmp_path):
    code = "import time; print('step', flush=True); time.sleep(0.2)"
    said = importlib.import_module("bench_pytorch.pairs")._said_step
    found = workers.timed([sys.executable, "-c", code], tmp_path, workers.Setting().environment(), said)
    assert 0 < found.first <= found.whole - 0.15 and found.peak > 2**20
    with pytest.raises(workers.WorkerError, match="no such file or so"):
        workers.timed([sys.executable, "-c", "raise SystemExit('no such file or so')"], tmp_path, {}, said)


RESULT = {
    "ganrun": {"batch": 64, "k": 5, "flops": 2e9, "dominant": [3, 4, 5, 1], "parameters": 1_234_567, "steps": 20_000},
    "pytorch": {"flops": 3e9},
    "skipped": {"graphs": "CUDA graphs need a GPU"},
    "products": {"large": [100e9, 80e9], "dominant": [10e9, 50e9]},
    "whole": 40,
    "pairs": [
        {"bare": 8.0, "loop": 4.0, "eager": 4.0},
        {"bare": 10.0, "loop": 6.0, "eager": 2.0},
        {"bare": 12.0, "loop": 5.0, "eager": 5.0},
    ],
}


def test_the_tables_have_medians_and_the_ratios_within_pairs(script):
    started = {"rows": [{kind: {"first": 2.0, "peak": 2**20 * 300} for kind in ("cold", "warm", "eager")}]}
    sweeps = {"32": {"runs": 32, "steps": 100, "timed": 2, "pairs": [{"ganrun": 2.0, "pytorch": 5.0}]}}
    content = {"problems": {"ring": {"speed": RESULT, "start": started}}, "sweeps": sweeps}
    text = script.tables.page({"here": content})
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line]
    assert [
        "ring, MLP",
        "64, 5",
        "10",
        "5 (40 steps)",
        "eager",
        "4",
        "2.40 (2.00 to 5.00)",
        "1.00 (1.00 to 3.00)",
    ] in rows
    work = ["ring, MLP", "1 234 567", "2 / 3", "20 / 12", "100 / 80", "20% / 12%", "3x4 @ 4x5", "10 / 50", "40% / 24%"]
    assert work in rows
    assert ["ring, MLP", "2.00", "2.00", "2.00", "300", "300", "300"] in rows
    assert ["32 x 100 steps", "2.0", "5.0, extrapolated from 2 of them", "2.50 (2.50 to 2.50)"] in rows
    assert "- ring, MLP, CUDA graphs: left out, CUDA graphs need a GPU" in text


def test_only_what_is_between_the_markers_is_replaced(script, tmp_path):
    out = tmp_path / "page.md"
    out.write_text(f"# Page\n\n{script.MARKER}\nold\n{script.END}\n\nEnd.\n", encoding="utf-8")
    for text in ("first\n", "second\n"):
        script.write(out, text)
    assert out.read_text(encoding="utf-8") == f"# Page\n\n{script.MARKER}\n\nsecond\n\n{script.END}\n\nEnd.\n"
    script.write(tmp_path / "new.md", "whole\n")
    assert (tmp_path / "new.md").read_text(encoding="utf-8") == "whole\n"


@pytest.mark.parametrize("word", ["problms=ring", "problems=rign", "variants=fast", "parts=all", "ring"])
def test_what_is_no_option_ends_the_script_with_a_line(word, script):
    with pytest.raises(SystemExit, match=word.partition("=")[2] or word):
        script.options([word])


def test_without_pytorch_the_script_says_how_to_install_it(script, workers):
    with pytest.raises(SystemExit, match=r"has no torch: pip install torch numpy, .*pytorch=FOLDER/bin/python"):
        script.versions(workers.Setting(pytorch="/bin/false"))


# With PyTorch


@pytest.fixture
def trainer(problems):
    torch = pytest.importorskip("torch")
    make = importlib.import_module("bench_pytorch.torch_training").Trainer
    shapes = {"ring": None, "dcgan32": (3, 32, 32)}

    def trained(name: str):
        shape = shapes.get(name, (1, 28, 28))
        images = None if shape is None else torch.zeros((80, *shape), dtype=torch.uint8)
        return make(problems.PROBLEMS[name], "eager", "cpu", images)

    return trained


@pytest.mark.parametrize("name", NAMES)
def test_networks_in_pytorch_have_the_parameters_of_ganruns(name, trainer, problems, compose_config):
    words = [word for word in problems.PROBLEMS[name].overrides if word not in problems.RANDOM]
    config = compose_config(["dataset=mnist"] * (name != "ring") + words)
    shape = {"ring": (2,), "dcgan32": (32, 32, 3)}.get(name, (28, 28, 1))
    method, hparams = config.method.build(config, shape), config.method.hparams(config)
    model = jax.eval_shape(lambda: create(method, hparams, jax.numpy.uint32(0), jax.numpy.zeros((1, *shape)))).model
    leaves = jax.tree.leaves((model.generator.params, model.discriminator.params))
    assert trainer(name).parameters == sum(leaf.size for leaf in leaves)


def test_a_step_in_pytorch_has_the_work_of_its_layers(trainer):
    worker = importlib.import_module("bench_pytorch.torch_worker")
    assert worker.flops(trainer("ring")) == 102_891_520  # derived in tests/commands/test_bench.py


def test_a_step_in_pytorch_changes_every_parameter_of_both_networks(trainer):
    one = trainer("mnist_mlp")
    networks = (one.generator, one.discriminator)
    before = [parameter.detach().clone() for network in networks for parameter in network.parameters()]
    one.step()
    after = [parameter for network in networks for parameter in network.parameters()]
    assert all(bool((old != new).any()) for old, new in zip(before, after, strict=True))


def test_minibatches_in_pytorch_are_of_examples_that_differ(trainer):
    one = trainer("r3gan")  # two minibatches of 64 per step, of 80 images
    one.step()
    first, second = one.rows.tolist()
    assert len(set(first)) == len(set(second)) == 64 and first != second


def test_the_penalty_is_the_squared_gradient_of_the_critic(trainer):
    torch = pytest.importorskip("torch")
    squared = importlib.import_module("bench_pytorch.torch_training").squared_gradients
    x = torch.tensor([[1.0, 2.0], [3.0, 0.5]], requires_grad=True)
    # The gradient of x0² + 3 x1 is (2 x0, 3).
    assert squared(x[:, 0] ** 2 + 3 * x[:, 1], x).tolist() == [13.0, 45.0]
