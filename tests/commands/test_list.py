"""``ganrun list``: meanings, formulas and papers, in lines that fit."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from ganrun.commands.list import fields, meaning
from ganrun.config.hydra_bridge import config_folder
from ganrun.config.registry import GROUP_MODULES, options
from ganrun.errors import ConfigError
from ganrun.evaluation.measurements.families import FAMILIES
from ganrun.evaluation.metrics.spec import specs

GROUPS = sorted({path.parent.name for path in config_folder().glob("*/*.yaml")})


def test_a_formula_and_a_paper_are_read_from_a_docstring():
    text = "Is.\n\nFormula: a + b,\nwith a = 1\nPaper: One & Two 2020,\n  section 3\n\nMore.\nPaper trail: no."
    assert fields(text) == {"Formula": "a + b, with a = 1", "Paper": "One & Two 2020, section 3"}


def test_blank_lines_may_stand_between_them_and_either_may_be_missing():
    assert fields("Is.\n\nPaper: P\n\nFormula: ``k`` = 2\n") == {"Paper": "P", "Formula": "k = 2"}
    assert fields("Is.\n\nFormula: f") == {"Formula": "f"}
    assert fields("Is, as in Paper: none.") == {}


def test_a_group_that_is_named_shows_formula_and_paper(inside, tmp_path):
    done = inside("list", "optimizers", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    paragraphs = {text.split()[0]: text for text in done.stdout.removeprefix("optimizer\n").split("\n\n")[:-1]}
    names = ("adam", "adam_image", "adam_likelihood", "rmsprop", "sgd", "sgd_energy")
    assert sorted(paragraphs) == [f"optimizer={name}" for name in names]
    adam = " ".join(paragraphs["optimizer=adam"].split())
    assert "Formula: m ← b1 m + (1 - b1) g" in adam
    assert 'Paper: Kingma & Ba 2015, "Adam: a method for stochastic optimization", Algorithm 1.' in adam
    # A YAML that is a variant has no class of its own.
    assert meaning(config_folder() / "optimizer/adam_image.yaml") in " ".join(
        paragraphs["optimizer=adam_image"].split()
    )


def test_without_words_there_are_meanings_only(inside, tmp_path):
    done = inside("list", cwd=tmp_path)
    assert "Formula: " not in done.stdout and "Paper: " not in done.stdout
    assert [line for line in done.stdout.splitlines() if not line.startswith(" ")] == GROUPS


def test_lines_fit_into_eighty_columns_and_carry_nothing_at_their_end(inside, tmp_path):
    for words in ([], GROUPS):
        done = inside("list", *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        for line in done.stdout.splitlines():
            assert len(line) <= 80 and line == line.rstrip(), line


def test_a_wider_terminal_is_used(tmp_path, environment):
    code = "from ganrun.commands.list import main\nmain(['experiment'])"
    words, env = [sys.executable, "-c", code], environment(COLUMNS="200")
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert 80 < max(map(len, done.stdout.splitlines())) <= 200


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_is_found_in_singular_and_plural(group, inside, tmp_path):
    plural = f"{group[:-1]}ies" if group.endswith("y") else f"{group}es" if group.endswith("s") else f"{group}s"
    done = inside("list", plural, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.splitlines()[0] == group
    assert inside("list", group, cwd=tmp_path).stdout == done.stdout


def test_the_tags_of_all_metrics_are_listed_with_unit_and_direction(inside, tmp_path):
    done = inside("list", "tags", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    text = " ".join(done.stdout.split())
    assert " jsd/exact Jensen-Shannon divergence of data and model, from the known density (nats, lower is" in text
    assert " copy_test p-value: samples are no closer to single training examples than new data are (p)" in text
    listed = {line.split()[0] for line in done.stdout.splitlines()[1:] if line[2] != " "}
    assert listed == {spec.name for spec in specs()} | {tag for family in FAMILIES for tag in family.tags}
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_an_unknown_group_is_refused_before_anything_is_printed(capsys):
    from ganrun.commands.list import main

    with pytest.raises(ConfigError, match="Did you mean 'loss'"):
        main(["dataset", "los"])
    assert capsys.readouterr().out == ""


def test_the_brief_list_imports_no_jax_and_a_group_only_its_own_room(tmp_path):
    code = (
        "import sys\nfrom ganrun.commands.list import main\n"
        "main([]); print('FIRST', 'jax' in sys.modules)\n"
        "main(['losses'])\n"
        "print('SECOND', 'ganrun.methods.gan.losses' in sys.modules, 'ganrun.datasets' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert "FIRST False" in lines and "SECOND True False" in lines


def test_a_pipe_that_knows_only_ascii_is_written_to(tmp_path, environment):
    code = "from ganrun.commands.list import main\nmain(['optimizers'])"
    env = environment(PYTHONIOENCODING="ascii")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, check=True)
    assert rb"m \u2190 b1 m" in done.stdout


def test_citations_name_a_year_and_a_title():
    for group in GROUP_MODULES:
        for name, option in options(group).items():
            paper = fields(option.__doc__ or "").get("Paper")
            if paper is not None:
                assert re.search(r"\b(19|20)\d\d\b", paper) and '"' in paper, f"{group}={name}: {paper}"


@pytest.mark.parametrize("group", ["loss", "penalty", "schedule"])
def test_every_part_of_a_gan_has_a_formula(group):
    bare = {name for name, option in options(group).items() if "Formula" not in fields(option.__doc__ or "")}
    assert bare == set()
