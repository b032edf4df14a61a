"""``ganrun bench``: the work of a step is that derived by hand, and what is printed fits together."""

from __future__ import annotations

import json
import subprocess
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.architectures.layers import StridedConv, TransposedConv
from ganrun.commands import bench_measure
from ganrun.commands.bench_products import Product, _compiled_pairs, product_speed, work_of, work_of_step
from ganrun.config.schema import check
from ganrun.errors import GanrunError
from ganrun.methods.run_state import Report
from ganrun.training.build import build

QUICK = ("seconds=0.02",)


@pytest.fixture(autouse=True)
def _small_product(monkeypatch):
    monkeypatch.setattr("ganrun.commands.bench_products.LARGE", {"cpu": 64})
    monkeypatch.setattr("ganrun.commands.bench_products.CALL_FLOPS", 1e5)


# The work of a step


def work(function, *shapes: tuple[int, ...], loops: float = 1.0) -> dict[Product, float]:
    return work_of(jax.make_jaxpr(function)(*(jnp.zeros(shape) for shape in shapes)).jaxpr, loops)


# Multiplications per example of the default networks on the ring: G is 2-64-64-64-2, D is 2-64-64-64-1.
G, D = 2 * 64 + 64 * 64 + 64 * 64 + 64 * 2, 2 * 64 + 64 * 64 + 64 * 64 + 64
FIRST = 2 * 64  # the first layer needs no gradient with respect to its input, unless that is a sample of G
D_UPDATE = G + 2 * (D + D + D - FIRST)  # forwards, gradients of weights and of inputs, on samples and on data
G_UPDATE = G + D + D + G + G - FIRST  # forwards through both, back through D, gradients of weights and of inputs
BATCH = 512


def test_the_work_of_the_default_step_is_that_of_its_layers(compose_config):
    assert sum(work_of_step(build(compose_config(()))).values()) == 2 * BATCH * (D_UPDATE + G_UPDATE) == 102_891_520


def test_a_step_with_more_discriminator_updates_has_the_work_of_each(compose_config):
    experiment = build(compose_config(("schedule.k=3",)))
    assert sum(work_of_step(experiment, 3.0).values()) == 2 * BATCH * (3 * D_UPDATE + G_UPDATE)


def test_products_are_counted_as_often_as_they_are_computed():
    def scanned(x, w):
        return jax.lax.scan(lambda h, _: (h @ w, None), x, None, length=5)[0]

    def looped(x, w):
        return jax.lax.while_loop(lambda h: h.sum() < 9, lambda h: jax.jit(jnp.matmul)(h, w), x)

    def branched(x, w):
        return jax.lax.cond(x.sum() > 0, lambda: x, lambda: (x @ w) @ w)

    one = Product(4, 3, 3)
    assert one.flops == 2 * 4 * 3 * 3
    assert work(scanned, (4, 3), (3, 3)) == {one: 5 * one.flops}
    assert work(looped, (4, 3), (3, 3), loops=7.0) == {one: 7 * one.flops}
    assert work(branched, (4, 3), (3, 3)) == {one: 2 * one.flops}
    assert work(jnp.matmul, (6, 4, 5), (6, 5, 2)) == {Product(4, 5, 2, 6): 6 * 2 * 4 * 5 * 2}
    assert work(lambda x: jnp.sin(x), (4,)) == {}


def test_equal_products_are_counted_once_as_xla_computes_them_once():
    def twice(x, w):
        return jnp.sin(x @ w) + jax.jit(lambda x, w: jnp.sin(x @ w) @ w)(x, w)

    def penalised(w, x):
        """The value of a linear critic, and the square of its gradient, which evaluates the critic again."""

        def critic(x):
            return jax.nn.relu(x @ w).sum()

        return critic(x) + (jax.grad(critic)(x) ** 2).sum()

    one = Product(4, 3, 3)
    assert work(twice, (4, 3), (3, 3)) == {one: 2 * one.flops}
    assert work(penalised, (3, 3), (4, 3)) == {one: 2 * one.flops}
    # Forwards, the gradient with respect to x, and that of both with respect to w.
    assert sum(work(jax.grad(penalised), (3, 3), (4, 3)).values()) == 4 * one.flops


def convolution(x, kernel, groups=1):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=groups
    )


def test_a_convolution_is_counted_without_its_padding():
    # A window of 3 meets 2, 3, 3 and 2 of 4 pixels: 10 along each axis.
    assert sum(work(convolution, (7, 4, 4, 5), (3, 3, 5, 6)).values()) == 2 * 7 * 10 * 10 * 5 * 6
    grouped = work(partial(convolution, groups=2), (7, 4, 4, 6), (3, 3, 3, 8))
    assert sum(grouped.values()) == 2 * 7 * 10 * 10 * 3 * 8
    assert grouped.keys() == {Product(7 * 16, round(3 * 100 / 16), 4, 2)}  # 100 pairs over 16 positions


@pytest.mark.parametrize("layer", [StridedConv, TransposedConv])
def test_each_gradient_of_a_convolution_has_the_work_of_the_convolution(layer):
    module = layer(6, form="xla")
    x = jnp.zeros((3, 8, 8, 5))
    kernel = jnp.zeros((4, 4, 5, 6))

    def total(x, kernel):
        return module.apply({"params": {"kernel": kernel, "bias": jnp.zeros(6)}}, x).sum()

    forward = sum(work_of(jax.make_jaxpr(total)(x, kernel).jaxpr).values())
    both = sum(work_of(jax.make_jaxpr(jax.grad(total, (0, 1)))(x, kernel).jaxpr).values())
    # Of 8 pixels, windows of 4 with stride 2 and one pixel of padding meet 3, 4, 4 and 3.
    side = {StridedConv: 14, TransposedConv: 30}[layer]  # transposed: each of the 16 window positions, less the edges
    assert forward == 2 * 3 * side * side * 5 * 6
    assert both == pytest.approx(3 * forward)


# The speed of a product


def test_the_timed_call_multiplies_there_and_back():
    rng = np.random.default_rng(0)
    left, there, back = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 3, 4), (2, 4, 5), (2, 5, 4)))
    found = _compiled_pairs(2, *map(jnp.asarray, (left, there, back)))(left, there, back)
    np.testing.assert_allclose(found, left @ there @ back @ there @ back, rtol=1e-4)


def test_a_speed_is_the_work_over_the_time_of_the_fastest_call(monkeypatch):
    ticks = iter([0.0, 1.0, 3.0, 4.0, 4.5, 5.0, 9.0])  # the end is at 2 + 0: calls of 2, 0.5 and 4 seconds
    monkeypatch.setattr("ganrun.commands.bench_products.CALL_FLOPS", 3 * 2 * Product(2, 3, 4).flops)
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    assert product_speed(Product(2, 3, 4), 6.0) == 3 * 2 * Product(2, 3, 4).flops / 0.5


# The command


@pytest.fixture(scope="module")
def benched(inside, tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ganrun.commands.bench_products.LARGE", {"cpu": 64})
        done = inside("bench", *tiny, *QUICK, "format=json", cwd=folder)
    return folder, done


def test_the_numbers_fit_together(benched):
    folder, done = benched
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    generator = 2 * 8 + 8 * 2
    discriminator = 2 * 8 + 8
    d_update = generator + 2 * (3 * discriminator - 2 * 8)
    g_update = 2 * discriminator + 3 * generator - 2 * 8
    assert found["gflop_per_step"] == pytest.approx(2 * 16 * (d_update + g_update) / 1e9)
    speeds = found["steps_per_second_of_calls"]
    assert len(speeds) >= 3 and found["steps_per_second"] == pytest.approx(np.median(speeds))
    assert found["ms_per_step"] * found["steps_per_second"] == pytest.approx(1000)
    assert found["gflop_per_second"] == pytest.approx(found["gflop_per_step"] * found["steps_per_second"])
    for product in (found["large_product"], found["dominant_product"]):
        assert product["share"] * product["gflop_per_second"] == pytest.approx(found["gflop_per_second"])
    assert (found["large_product"]["rows"], found["dominant_product"]["batch"]) == (64, 1)
    assert found["peak_memory_bytes"] > 2**25 and found["compile_seconds"] > 0
    assert found["versions"]["jax"] == jax.__version__
    assert check(found["config"]).batch_size == 16
    assert list(folder.iterdir()) == []


def test_the_text_names_each_number(inside, tiny, tmp_path):
    done = inside("bench", *tiny, *QUICK, "loss=hinge", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = dict(line.split(None, 1) for line in done.stdout.splitlines())
    names = "run device versions members compile speed step work rate large dominant memory"
    assert list(lines) == names.split()
    assert lines["run"] == "ring, mlp, gan, hinge, batch_size 16"
    assert "steps/s, the median of" in lines["speed"] and "64x64 @ 64x64" in lines["large"]


def test_a_population_is_measured_per_member_and_together(inside, tiny, tmp_path):
    done = inside("bench", *tiny, *QUICK, "members=3", "format=json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["members"] == 3
    assert found["gflop_per_second"] == pytest.approx(3 * found["gflop_per_step"] * found["steps_per_second"])


def test_the_members_are_runs_with_successive_seeds_and_the_same_images(compose_config):
    runs = bench_measure.experiments_of(compose_config(("dataset=digits", "seed=5")), 3)
    assert [run.seed for run in runs] == [5, 6, 7]
    assert len({id(run.data.train.flat) for run in runs}) == 1
    assert len({tuple(np.asarray(run.data.train.order).tolist()) for run in runs}) == 3


def test_a_file_gets_the_table_and_nothing_is_printed(inside, tiny, tmp_path):
    done = inside("bench", *tiny, *QUICK, "format=markdown", "out=speed=1.md", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    machine, empty, *table = (tmp_path / "speed=1.md").read_text(encoding="utf-8").splitlines()
    assert "cpu" in machine and f"jax {jax.__version__}" in machine and empty == ""
    assert len(table) == 3 and len({line.count("|") for line in table}) == 1
    assert table[2].startswith("| ring, mlp, gan, nonsaturating, batch_size 16 | 1 |")
    assert [path.name for path in tmp_path.iterdir()] == ["speed=1.md"]


def test_a_saved_config_is_measured_as_it_is(inside, tiny, tmp_path):
    assert inside("train", *tiny, "steps=2", "hydra.run.dir=run", cwd=tmp_path).returncode == 0
    before = sorted((tmp_path / "run").rglob("*"))
    words = ("--config-dir", "run", "--config-name", "config", "+seconds=0.02", "+format=json")
    done = inside("bench", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["config"]["steps"] == 2
    assert sorted((tmp_path / "run").rglob("*")) == before


def test_a_process_compiles_anew_and_writes_nothing(ganrun, tiny, tmp_path):
    (tmp_path / "here").mkdir()
    done = ganrun("bench", *tiny, *QUICK, cwd=tmp_path / "here", env={"GANRUN_CACHE": str(tmp_path / "cache")})
    assert (done.returncode, done.stderr) == (0, "")
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


def test_the_cache_of_programs_is_as_before(inside, tiny, tmp_path):
    before = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    assert inside("bench", *tiny, *QUICK, cwd=tmp_path).returncode == 0
    assert jax.config.jax_compilation_cache_dir == before  # type: ignore[attr-defined]


REFUSED = {
    "a population without members": (("members=0",), "members must be at least 1"),
    "no time": (("seconds=0",), "seconds must be"),
    "a format": (("format=jason",), "Did you mean 'json'?"),
    "a place": (("out=nowhere/x.md",), "out: there is no folder"),
    "a sweep": (("-m", "seed=0,1"), "leave out -m"),
    "a run": (("resume=latest",), "leave out resume"),
    "a setting": (("bacth_size=3",), "Did you mean 'batch_size'?"),
    "a value": (("batch_size=0",), "batch_size must be"),
    "a combination": (("architecture=dcgan",), "architecture=dcgan takes images"),
    "a seed": (("members=2", f"seed={2**32 - 1}"), "need seeds beyond 4294967295"),
}


@pytest.mark.parametrize(("words", "hint"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_measured_is_refused_in_a_line(words, hint, inside, tmp_path):
    done = inside("bench", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert hint in done.stderr and len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("members", [1, 2])
def test_a_run_that_diverges_has_no_speed(members, compose_config, tiny):
    config = compose_config((*tiny, "penalty=r1", "penalty.r1.weight=3e38"))
    with pytest.raises(GanrunError, match=r"the run diverges at step 1 \(.+\), so its speed cannot be measured"):
        bench_measure.measure(config, members, 0.02)


def test_completion_offers_the_settings_of_the_command_and_of_the_run(inside, tmp_path, monkeypatch):
    def offered(line: str) -> set[str]:
        monkeypatch.setenv("COMP_LINE", line)
        done: subprocess.CompletedProcess[str] = inside("-sc", "query=bash", cwd=tmp_path)
        return set(done.stdout.split())

    assert offered("ganrun be") == {"bench"}
    assert {"members=", "seconds=", "format=", "out=", "dataset=", "batch_size="} <= offered("ganrun bench ")
    assert offered("ganrun bench seconds=1 dataset=ri") == {"dataset=ring"}


class Counting:
    """An executor that does nothing but count the steps since its state was made."""

    most_steps = None

    def __init__(self) -> None:
        self.begun, self.furthest = 0, 0

    def init(self) -> int:
        self.begun += 1
        return 0

    def advance(self, state: int, n: int) -> tuple[int, Report]:
        self.furthest = max(self.furthest, state + n)
        nothing = np.zeros(1, int)
        return state + n, Report(means=nothing, bad_step=nothing, bad_tag=nothing)


def test_a_run_that_is_measured_for_longer_than_it_is_begins_again():
    executor = Counting()
    n, speeds, _, _ = bench_measure.call_speeds(executor, [], per_step=1e-6, limit=7, seconds=0.02, steps=20)
    assert n == 7 and len(speeds) > 3
    assert executor.furthest == 14 and executor.begun > 1  # a third call would end at step 21
