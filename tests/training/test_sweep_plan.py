"""The plan of a sweep: which runs train together, how many at a time, and the files that say so."""

import dataclasses
import json
import os
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganrun.config.settings import Checkpoint, Log, Population
from ganrun.errors import ConfigError
from ganrun.storage.sweep_directory import find_sweep, runs_of, varied_in
from ganrun.training import sweep_plan
from ganrun.training.sweep_plan import Job, Plan, cut, ended, max_members, program, reason

SMALL = ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]", "batch_size=16", "probe=off")
TOGETHER = (
    "seed=5",
    "optimizer.generator.learning_rate=0.01",
    "optimizer.discriminator.learning_rate=0.02",
    "optimizer.generator.b1=0.9",
    "optimizer.discriminator.b2=0.8",
    "optimizer.generator.eps=1e-3",
    "loss.label_smoothing=0.1",
    "schedule.k=3",
    "ema.decay=0.5",
    "dataset.std=0.5",
    "dataset.radius=1.5",
    "resume=elsewhere",
    "population.members=2",
)
APART = (
    "loss=minimax",
    "loss=hinge",
    "architecture=maxout",
    "architecture.generator_hidden=[9]",
    "architecture.generator_hidden=[8,8]",
    "optimizer=sgd",
    "optimizer.generator.decay=constant",
    "steps=200",
    "steps_per_call=10",
    "batch_size=17",
    "precision=bf16",
    "latent.dim=3",
    "latent.prior=uniform",
    "dataset.modes=7",
    "dataset=grid",
    "dataset=gaussian",
    "log.every=25",
    "log.pictures=3",
    "checkpoint.steps=20",
    "checkpoint.keep=3",
    "evaluate.share=0.5",
    "stop.when=jsd/exact",
    "stop.patience=3",
    "feed=streamed",
    "probe=streaming",
    "data_dir=/elsewhere",
)


@pytest.fixture(scope="module")
def base(compose_config):
    return compose_config(SMALL)


def jobs_of(configs, folder):
    return [Job(config, folder / str(i)) for i, config in enumerate(configs)]


@pytest.mark.parametrize("word", TOGETHER)
def test_runs_that_differ_in_what_is_traced_share_a_program(word, base, compose_config):
    other = compose_config([*SMALL, word])
    assert other != base
    assert program(other) == program(base) and hash(program(other)) == hash(program(base))


@pytest.mark.parametrize("word", APART)
def test_runs_that_differ_in_what_is_static_do_not(word, base, compose_config):
    # The groups come first, so that what makes the networks small still counts.
    assert program(compose_config([*SMALL[:2], "batch_size=16", "probe=off", word])) != program(base)


def test_mixtures_of_as_many_parts_share_a_program_and_others_do_not(compose_config):
    def mixed(*words):
        return program(compose_config([*SMALL, "dataset=mixture1d", *words]))

    assert mixed() == mixed("dataset.means=[0,1]", "dataset.weights=[0.9,0.1]", "dataset.stds=[2,3]")
    assert mixed() != mixed("dataset.means=[0,1,2]", "dataset.weights=[1,1,1]", "dataset.stds=[1,1,1]")


def test_runs_on_the_same_images_share_a_program(compose_config):
    digits = [compose_config([*SMALL, "dataset=digits", f"seed={seed}"]) for seed in (0, 1)]
    assert program(digits[0]) == program(digits[1])


def test_jobs_are_grouped_by_program_in_the_order_of_their_first(base, tmp_path):
    def of(seed, steps=100):
        return dataclasses.replace(base, seed=seed, steps=steps)

    configs = [of(0), of(0, 200), of(1), of(1, 200), of(2), of(0, 300)]
    assert Plan.of(jobs_of(configs, tmp_path)).batches == [[0, 2, 4], [1, 3], [5]]


def test_a_group_is_cut_into_batches_of_as_many_as_asked_for(base, tmp_path):
    configs = [dataclasses.replace(base, seed=seed, population=Population(members=3)) for seed in range(7)]
    assert Plan.of(jobs_of(configs, tmp_path)).batches == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_plan_of_no_jobs_is_empty():
    assert Plan.of([]).batches == []


@given(st.lists(st.integers(), unique=True, min_size=1, max_size=300), st.integers(1, 100))
def test_a_cut_keeps_every_job_once_in_order_in_few_parts_that_are_nearly_equal(group, most):
    parts = cut(group, most)
    assert [one for part in parts for one in part] == group
    sizes = [len(part) for part in parts]
    assert min(sizes) >= 1 and max(sizes) <= most
    assert (len(parts) - 1) * most < len(group)  # one part fewer would not hold them
    # All but the last are of one size, as many of which as possible run the same compiled program.
    assert len(set(sizes[:-1])) <= 1 and sizes[-1] <= sizes[0]
    # Nobody could make the largest part smaller with as many parts.
    assert (max(sizes) - 1) * len(parts) < len(group)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.data())
def test_every_batch_comes_next_once_until_all_its_runs_are_done(sizes, data):
    order = data.draw(st.permutations(range(sum(sizes))))
    plan, rest = Plan([]), list(order)
    for size in sizes:
        plan.batches.append([rest.pop() for _ in range(size)])
    done = set(data.draw(st.lists(st.sampled_from(order), unique=True)))
    begun = []
    while (batch := plan.next(done)) is not None:
        assert not done.issuperset(batch)
        begun.append(batch)
        done |= set(batch)
    assert done == set(order)
    assert begun == [batch for batch in plan.batches if batch in begun]  # in order, none twice


def test_next_does_not_pass_over_a_batch_that_is_half_done():
    plan = Plan([[0, 1], [2, 3]])
    assert plan.next({0}) == [0, 1]
    assert plan.next({0: 0, 1: 1, 2: 0}) == [2, 3]
    assert plan.next({0, 1, 2, 3}) is None


def test_a_batch_that_is_split_stays_in_its_place():
    plan = Plan([[0, 1], [2, 3, 4, 5, 6], [7]])
    plan.split([2, 3, 4, 5, 6], 2)
    assert plan.batches == [[0, 1], [2, 3], [4, 5], [6], [7]]
    plan.split([0, 1], 1)
    assert plan.batches == [[0], [1], [2, 3], [4, 5], [6], [7]]


def test_a_plan_says_how_many_programs_there_are():
    assert Plan([[0, 1, 2]]).describe() == "3 runs in 1 program"
    assert Plan([[0, 1], [2]]).describe() == "3 runs in 2 programs with 2, 1 runs"
    assert Plan([[i] for i in range(10)]).describe().endswith("10 programs with 1, 1, 1, 1, 1, 1, 1, 1, ... runs")


def test_a_plan_says_which_hyperparameters_vary(base, tmp_path):
    jobs = jobs_of([base] * 2, tmp_path)
    Plan([[0, 1]]).write(tmp_path, jobs, {"seed", "loss"})
    assert Plan.read(tmp_path, jobs) is not None
    assert varied_in(tmp_path) == {"seed", "loss"}
    (tmp_path / "sweep.json").write_text('{"varied": 3}')
    assert varied_in(tmp_path) == varied_in(tmp_path / "none") == frozenset()


def test_a_plan_is_read_as_it_was_written_and_names_the_runs(base, tmp_path):
    jobs = jobs_of([base] * 4, tmp_path)
    Plan([[0, 2], [3], [1]]).write(tmp_path, jobs)
    found = Plan.read(tmp_path, jobs)
    assert found is not None and found.batches == [[0, 2], [3], [1]]
    assert json.loads((tmp_path / "sweep.json").read_text()) == {
        "runs": ["0", "1", "2", "3"],
        "batches": [[0, 2], [3], [1]],
    }
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]
    assert runs_of(tmp_path) == [tmp_path / name for name in "0123"]


def test_there_is_no_plan_where_none_was_written(base, tmp_path):
    jobs = jobs_of([base] * 3, tmp_path)
    assert Plan.read(tmp_path, jobs) is None
    assert Plan.read(tmp_path / "nowhere", jobs) is None


def test_the_plan_of_other_runs_in_the_same_folder_is_none_for_these(base, tmp_path):
    jobs = jobs_of([base] * 6, tmp_path)
    Plan([[0, 1, 2]]).write(tmp_path, jobs[:3])
    assert Plan.read(tmp_path, jobs[3:]) is None and Plan.read(tmp_path, jobs[:2]) is None
    assert Plan.read(tmp_path, jobs[:3]) is not None


def test_the_plans_of_one_search_stand_one_after_another_in_its_folder(base, tmp_path):
    jobs = jobs_of([base] * 6, tmp_path)
    Plan([[0, 2], [1]]).write(tmp_path, jobs[:3])
    Plan([[0, 1, 2]]).write(tmp_path, jobs[3:])
    Plan([[0, 1], [2]]).write(tmp_path, jobs[3:])  # memory was short
    found = Plan.read(tmp_path, jobs)
    assert found is not None and found.batches == [[0, 2], [1], [3, 4], [5]]
    assert runs_of(tmp_path) == [job.folder for job in jobs]


DAMAGED = (
    b"",
    b"{",
    b"null",
    b"[]",
    b"3",
    b'"batches"',
    b"{}",
    b"\xff\xfe",
    b'{"batches": [[0, 1, 2]]}',
    *(
        b'{"runs": ["0", "1", "2"], %s}' % more
        for more in (b'"batch": [[0, 1, 2]]', b'"batches": 3', b'"batches": null')
    ),
    *(
        b'{"runs": ["0", "1", "2"], "batches": %s}' % batches
        for batches in (
            b"[0, 1, 2]",
            b"[[0, 1]]",
            b"[[0, 1, 2, 3]]",
            b"[[0, 1, 1, 2]]",
            b"[[0, 1], [1]]",
            b'[["0", "1", "2"]]',
            b"[[0, 1, null]]",
        )
    ),
)


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_plan_is_refused_in_one_line(content, base, tmp_path):
    (tmp_path / "sweep.json").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        Plan.read(tmp_path, jobs_of([base] * 3, tmp_path))
    assert str(caught.value).startswith(f"{tmp_path / 'sweep.json'} cannot be read: ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_plan_that_is_a_folder_is_refused(base, tmp_path):
    (tmp_path / "sweep.json").mkdir()
    with pytest.raises(ConfigError, match=r"sweep\.json cannot be read"):
        Plan.read(tmp_path, jobs_of([base] * 3, tmp_path))


@pytest.mark.parametrize(
    "runs",
    [
        *('["../x"]', '["/etc"]', '["."]', '[".."]', '[""]', "[3]", "[null]", "3", "null", "{", "[]"),
        *('["a/../b"]', '["a//b"]', '["a/"]', '["./a"]', '["a/.."]', '["a/b/../../../c"]', '["a/\\u001b[2J"]'),
        *('["a", "a/b"]', '["a/b/c", "a"]', '["a/b", "a/b"]', '["a/checkpoints"]', '["samples"]', '["sweep.json"]'),
        '["1/2/3/4/5/6/7/8/9"]',
    ],
)
def test_runs_that_do_not_lie_in_the_sweep_are_refused_in_one_line(runs, tmp_path):
    (tmp_path / "sweep.json").write_text(f'{{"runs": {runs}, "batches": []}}')
    with pytest.raises(ConfigError) as caught:
        runs_of(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'sweep.json'} cannot be read: ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_sweep_is_found_by_its_folder_and_a_run_is_none(tmp_path, monkeypatch):
    folder = tmp_path / "outputs" / "sweeps" / "day" / "time"
    (folder / "0").mkdir(parents=True)
    (folder / "sweep.json").write_text("{}")
    (folder / "0" / "config.yaml").write_text("seed: 0\n")
    monkeypatch.chdir(tmp_path)
    assert find_sweep(str(folder)) == find_sweep("outputs/sweeps/day/time") == folder.resolve()
    assert find_sweep(str(folder / "0")) is None
    assert find_sweep("nowhere") is None and find_sweep("") is None
    assert find_sweep("latest") == folder.resolve()


def test_the_latest_is_no_sweep_where_the_newest_run_is_by_itself(tmp_path):
    folder = tmp_path / "sweeps" / "0"
    folder.mkdir(parents=True)
    (folder.parent / "sweep.json").write_text("{}")
    for run, when in ((folder, 1_000), (tmp_path / "alone", 2_000)):
        run.mkdir(exist_ok=True)
        (run / "config.yaml").write_text("seed: 0\n")
        os.utime(run / "config.yaml", (when, when))
    assert find_sweep("latest", tmp_path) is None
    os.utime(folder / "config.yaml", (3_000, 3_000))
    assert find_sweep("latest", tmp_path) == folder.parent.resolve()


def test_what_cannot_be_a_folder_is_no_sweep_but_an_error():
    with pytest.raises(ConfigError, match="cannot be a folder"):
        find_sweep("x" * 300)


@pytest.fixture
def limits(monkeypatch):
    """Pretend that a process may open ``soft`` files, and ``hard`` on asking; returns what was asked for."""
    asked = []

    def pretend(soft, hard):
        monkeypatch.setattr(resource, "getrlimit", lambda which: (soft, hard))
        monkeypatch.setattr(resource, "setrlimit", lambda which, now: asked.append(now))
        return asked

    return pretend


@pytest.mark.parametrize(
    ("members", "hard", "backend", "most"),
    [
        (0, 100_000, "cpu", 64),
        (0, 100_000, "gpu", 4096),
        (0, resource.RLIM_INFINITY, "gpu", 4096),
        (7, 100_000, "cpu", 7),
        (500, 100_000, "cpu", 500),
        (500, 1024, "cpu", 192),  # (1024 - 256) / 4
        (0, 1024, "gpu", 192),
        (0, 300, "cpu", 11),  # (300 - 256) / 4
        (0, 200, "cpu", 1),
    ],
)
def test_the_number_of_members_is_limited_by_benefit_and_open_files(
    members, hard, backend, most, base, limits, monkeypatch
):
    limits(hard, hard)
    monkeypatch.setattr(sweep_plan.jax, "default_backend", lambda: backend)
    assert max_members(dataclasses.replace(base, population=Population(members=members))) == most


def test_as_many_files_may_be_open_as_the_system_grants(base, limits):
    asked = limits(256, 1024)
    assert max_members(dataclasses.replace(base, population=Population(members=1000))) == 192
    assert asked == [(1024, 1024)]


@pytest.mark.parametrize(
    ("content", "code", "why"),
    [
        (None, None, None),
        ("", None, None),
        ("{", None, None),
        ("[]", None, None),
        ('{"steps": 100}', None, None),
        ('{"status": "completed", "steps": 99}', None, None),
        ('{"status": "completed", "steps": 100}', 0, None),
        ('{"status": "completed", "steps": 150}', 0, None),
        ('{"status": "stopped", "steps": 100}', None, None),
        ('{"status": "failed", "steps": 7, "reason": "step 7: value is NaN"}', 1, "step 7: value is NaN"),
        ('{"status": "failed", "steps": 7}', None, None),  # the process ended by an error that is not ganrun's
    ],
)
def test_a_run_has_ended_where_its_summary_says_so(content, code, why, base, tmp_path):
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    assert ended(Job(dataclasses.replace(base, steps=100), tmp_path)) == code
    assert reason(tmp_path) == why


def test_what_is_logged_and_when_is_shared_by_the_members_of_a_program(base):
    for change in ({"log": Log(every=1)}, {"checkpoint": Checkpoint(seconds=1.0)}, {"checkpoint": Checkpoint(steps=5)}):
        assert program(dataclasses.replace(base, **change)) != program(base)
