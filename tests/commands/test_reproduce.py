"""``ganrun reproduce``: real experiments by the real command, what it keeps, and what it refuses."""

import json

import pytest

from ganrun.reproduce.claims import CLAIMS
from ganrun.reproduce.experiments import experiments


@pytest.fixture(scope="module")
def reproduced(inside, tmp_path_factory):
    cwd = tmp_path_factory.mktemp("reproduced")
    done = inside("reproduce", "discrete-output", "kl-directions", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd, done.stdout


def test_the_numbers_their_verdicts_and_the_page(reproduced):
    cwd, printed = reproduced
    assert "[1/2] discrete-output: no gradient passes through discrete output (about 0.2 minutes)" in printed
    assert "agrees: norm of the generator's gradient through argmax: 0, expected 0 ± 0" in printed
    assert "false as stated: S1: KL(data, model) drops a mode" in printed
    assert "2 of 2 experiments agree with what was expected" in printed
    assert "claims: 1 reproduced, 1 false as stated, 0 not reproduced, 25 not run" in printed
    page = (cwd / "outputs/reproduce/quick/reproduction.md").read_text()
    assert "| 25 | A GAN cannot be trained through discrete output. | S0, S3 | reproduced | [discrete-output]" in page
    assert "| S0, S1 | false as stated | [kl-directions](#kl-directions) |" in page
    assert "| 9 | k discriminator updates per step keep D near its optimum. | S1, S3 | not run |  |" in page
    assert str(cwd) not in page and "jax" in page
    record = json.loads((cwd / "outputs/reproduce/quick/kl-directions/result.json").read_text())
    assert [one["claim"] for one in record["findings"]] == [10] * 5 and record["about"]["versions"]["jax"]


def test_what_is_done_is_not_done_again_and_a_number_that_disagrees_is_exit_code_1(reproduced, inside):
    cwd, _ = reproduced
    result = cwd / "outputs/reproduce/quick/discrete-output/result.json"
    kept = result.read_text()
    record = json.loads(kept)
    record["findings"][0]["values"] = [0.5]
    result.write_text(json.dumps(record))
    done = inside("reproduce", "discrete-output", "kl-directions", "out=page.md", cwd=cwd)
    assert (
        done.returncode == 1 and "1 of 2 experiments agree with what was expected; not: discrete-output" in done.stdout
    )
    assert "[1/2] discrete-output: done on 20" in done.stdout and "1 not reproduced" in done.stdout
    assert "**not reproduced**" in (cwd / "page.md").read_text()
    result.write_text("{")  # damaged: it is run again
    done = inside("reproduce", "discrete-output", cwd=cwd)
    assert done.returncode == 0 and "(about 0.2 minutes)" in done.stdout
    assert json.loads(result.read_text())["findings"] == json.loads(kept)["findings"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nosh",), "there is no experiment 'nosh'. Did you mean 'nash'? There are"),
        ((), "reproduce needs names of experiments, or all. usage: ganrun reproduce NAME"),
        (("nash", "budget=long"), "budget"),
        (("nash", "seeds=1"), "seeds"),
        (("nash", "out=page.html"), "out must end in .md, not '.html'"),
        (("nash", "names=[nash]"), "give the experiments as words or as names=[...], not as both."),
        (("-m", "nash"), "reproduce takes all its experiments at once: leave out -m."),
        (("--list", "nash"), "--list takes no other words, and there is 'nash'."),
        (("nash", "--stricter"), "--stricter"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(words, message, inside, tmp_path):
    done = inside("reproduce", *words, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_run(inside, tmp_path):
    (tmp_path / "file").write_text("")
    done = inside("reproduce", "mle-game", "dir=file", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "") and "file is a file" in done.stderr
    done = inside("reproduce", "mle-game", "dir=/proc/x", cwd=tmp_path)
    assert (done.returncode, done.stdout) in ((1, ""), (2, "")) and "/proc/x" in done.stderr
    assert "Error" not in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_list_names_every_experiment_with_its_cost_and_source(inside, tmp_path):
    listed = inside("reproduce", "--list", cwd=tmp_path).stdout
    for one in experiments().values():
        cost = "GPU" if one.needs_gpu else f"{one.minutes[0]:g} min, full {one.minutes[1]:g} min"
        assert f"{one.name} ({cost})\n    {one.shows}" in listed and one.source in listed


def test_every_claim_has_an_experiment_and_all_quick_ones_are_meant_to_take_40_minutes():
    claims = [claim for one in experiments().values() for claim in one.claims]
    assert sorted(claims) == sorted(CLAIMS) == list(range(1, 28))
    assert sum(one.minutes[0] for one in experiments().values() if not one.needs_gpu) <= 40
    needed = {"parzen-mnist", "stacked-mnist", "pacgan-table1"}
    assert {one.name for one in experiments().values() if one.needs_gpu} == needed
