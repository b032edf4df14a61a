"""The table: its order, its best runs and its pairs, and that each format can be read back with the same numbers."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ganrun.comparison.formats import (
    as_csv,
    as_json,
    as_markdown,
    as_records,
    as_text,
    gap_lines,
    heads,
    rows,
    terminal_width,
)
from ganrun.comparison.groups import Group
from ganrun.comparison.runs import Run
from ganrun.comparison.table import Comparison, compare

JSD, MODES, REAL = "jsd/exact", "modes/covered", "D(x)"
T1, T2 = 12.706205, 4.302653  # Student's t at 97.5 % with one and two degrees of freedom, from any table


def make_run(status: str = "completed", **metrics: float) -> Run:
    return Run(Path(), {}, status, metrics)


def make_group(name: Any, tag: str, *values: float) -> Group:
    return Group({"loss": name}, [make_run(**{tag: value}) for value in values])


def ordered(tag: str, **means: float) -> list[str]:
    """The names of groups of one run each, in the order in which they are compared."""
    found = compare([make_group(name, tag, value) for name, value in means.items()], [tag])
    return [one.settings["loss"] for one in found.groups]


@pytest.fixture
def two() -> Comparison:
    """Two losses; hinge's three runs are better, and a fourth that failed would have been worse than all."""
    triples = ((0.1, 8.0, 0.5), (0.2, 6.0, 0.5), (0.3, 7.0, 0.5))
    hinge = [make_run(**{JSD: jsd, MODES: modes, REAL: real}) for jsd, modes, real in triples]
    failed = make_run("failed", **{JSD: 9.0, MODES: 99.0, REAL: 1.0})
    minimax = [make_run(**{JSD: jsd, MODES: 5.0}) for jsd in (0.6, 0.8)]
    groups = [Group({"loss": "minimax"}, minimax), Group({"loss": "hinge", "margin": 1.5}, [*hinge, failed])]
    return compare(groups, [JSD, MODES, REAL])


# Hinge: 0.1, 0.2, 0.3 have s = 0.1; minimax: 0.6, 0.8 have s = 0.2 / sqrt 2, so s / sqrt n = 0.1.
HALF = {"hinge": T2 * 0.1 / math.sqrt(3), "minimax": T1 * 0.1}
# 0.2 - HALF is below 0, as is 0.7 - HALF, and 0.7 + HALF is beyond log 2: no divergence is.
ROWS = {
    "hinge": {f"{JSD} mean": 0.2, f"{JSD} low": 0.0, f"{JSD} high": 0.2 + HALF["hinge"]},
    "minimax": {f"{JSD} mean": 0.7, f"{JSD} low": 0.0, f"{JSD} high": math.log(2)},
}
ROWS["hinge"] |= {f"{JSD} best": 0.1, f"{MODES} mean": 7.0, f"{MODES} low": 7.0 - T2 / math.sqrt(3)}
ROWS["hinge"] |= {f"{MODES} high": 7.0 + T2 / math.sqrt(3), f"{MODES} best": 8.0}
ROWS["hinge"] |= {f"{REAL} mean": 0.5}
ROWS["minimax"] |= {f"{JSD} best": 0.6, f"{MODES} mean": 5.0, f"{MODES} best": 5.0}
# All agree in D(x), and in the modes of minimax: there is no variance to make an interval of.
UNKNOWN = {
    "hinge": [f"{REAL} {what}" for what in ("low", "high", "best")],
    "minimax": [*(f"{REAL} {what}" for what in ("mean", "low", "high", "best")), f"{MODES} low", f"{MODES} high"],
}
# The difference -0.5 has the shares 0.01 / 3 and 0.02 / 2.
VARIANCE = 0.01 / 3 + 0.01
FREEDOM = VARIANCE**2 / ((0.01 / 3) ** 2 / 2 + 0.01**2)
P = 2 * stats.t(FREEDOM).cdf(-0.5 / math.sqrt(VARIANCE))
REACH = stats.t(FREEDOM).ppf(0.975) * math.sqrt(VARIANCE)


# What is compared


@pytest.mark.parametrize(
    "tag", [JSD, "jsd/probe", "jsd/probe_lower", "kl/forward", "kl/reverse", "w1", "data_missed", "modes/kl"]
)
def test_of_a_distance_less_is_better(tag):
    assert ordered(tag, b=0.2, c=0.3, a=0.1) == ["a", "b", "c"]
    found = compare([make_group("a", tag, 0.3, 0.1, 0.2)], [tag])
    assert found.best == [[0.1]]


@pytest.mark.parametrize("tag", [MODES, "modes/high_quality", "steps_per_second"])
def test_of_modes_and_speed_more_is_better(tag):
    assert ordered(tag, b=0.2, c=0.3, a=0.1) == ["c", "b", "a"]
    found = compare([make_group("a", tag, 0.2, 0.3, 0.1)], [tag])
    assert found.best == [[0.3]]


@pytest.mark.parametrize(
    "tag", [REAL, "loss/generator", "critic/real", "jsd/online", "jsd/exact_error", "jsd/probe_se", "something"]
)
def test_of_what_is_neither_there_is_no_best(tag):
    assert ordered(tag, b=0.2, c=0.3, a=0.1) == ["a", "b", "c"]
    assert math.isnan(compare([make_group("a", tag, 0.3, 0.1)], [tag]).best[0][0])


def test_the_infinite_is_the_worst_distance_and_what_is_unknown_comes_last():
    assert ordered(JSD, nothing=math.nan, far=math.inf, near=0.5) == ["near", "far", "nothing"]
    assert ordered(MODES, nothing=math.nan, few=1.0, many=8.0) == ["many", "few", "nothing"]
    groups = [make_group("other", REAL, 1.0), make_group("failed", JSD), make_group("known", JSD, 0.4)]
    assert [one.settings["loss"] for one in compare(groups, [JSD]).groups] == ["known", "other", "failed"]


def test_the_first_metric_decides_the_order_and_the_differences():
    groups = [
        Group({"loss": "many"}, [make_run(**{JSD: 0.5, MODES: 8.0}), make_run(**{JSD: 0.7, MODES: 8.0})]),
        Group({"loss": "near"}, [make_run(**{JSD: 0.1, MODES: 3.0}), make_run(**{JSD: 0.3, MODES: 3.0})]),
    ]
    by_distance, by_modes = compare(groups, [JSD, MODES]), compare(groups, [MODES, JSD])
    assert [one.settings["loss"] for one in by_distance.groups] == ["near", "many"]
    assert [one.settings["loss"] for one in by_modes.groups] == ["many", "near"]
    assert [gap.interval.value for gap in by_distance.gaps] == pytest.approx([-0.4])
    assert [gap.interval.value for gap in by_modes.gaps] == [5.0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 20), max_size=3), min_size=1, max_size=8), st.booleans())
def test_means_are_in_order_and_between_the_best_run_and_the_worst(samples, more):
    tag = MODES if more else "w1"
    found = compare([make_group(i, tag, *map(float, values)) for i, values in enumerate(samples)], [tag])
    means = [cells[0].value for cells in found.cells]
    known = [mean for mean in means if not math.isnan(mean)]
    assert known == sorted(known, reverse=more) and all(map(math.isnan, means[len(known) :]))
    assert sorted(one.settings["loss"] for one in found.groups) == list(range(len(samples)))
    for one, best in zip(found.groups, found.best, strict=True):
        values = samples[one.settings["loss"]]
        assert best[0] == pytest.approx((max if more else min)(values) if values else math.nan, nan_ok=True)


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_up_to_six_groups_every_pair_is_compared(n):
    found = compare([make_group(i, JSD, i, i + 0.5) for i in range(n)], [JSD])
    pairs = [(gap.first, gap.second) for gap in found.gaps]
    assert pairs == [(i, j) for i in range(n) for j in range(n) if i < j] and len(pairs) == n * (n - 1) // 2


def test_beyond_six_groups_each_is_compared_with_the_best():
    found = compare([make_group(i, JSD, 7.0 - i, 7.5 - i) for i in range(7)], [JSD])
    assert found.groups[0].settings == {"loss": 6}
    assert [(gap.first, gap.second) for gap in found.gaps] == [(0, j) for j in range(1, 7)]
    # Each differs from the best by whole numbers, with the variance 2 * 0.125 / 2 and two degrees of freedom.
    raw = [1 - math.sqrt(t2 / (2 + t2)) for t2 in (8 * j**2 for j in range(1, 7))]
    assert [gap.interval.value for gap in found.gaps] == [-1, -2, -3, -4, -5, -6]
    assert [gap.p for gap in found.gaps] == pytest.approx(raw)
    # Of all 21 pairs 1 differs by 6, 2 by 5, ... and 6 by 1: the best is not told before it is looked for. The largest
    # difference of j has rank (6 - j)(7 - j) / 2 among them, from 0, and so that many fewer are left with it.
    assert found.pairs == 21
    left = [21 - (6 - j) * (7 - j) // 2 for j in range(1, 7)]
    assert left == [6, 11, 15, 18, 20, 21]
    assert [gap.adjusted for gap in found.gaps] == pytest.approx(
        [min(1.0, p * n) for p, n in zip(raw, left, strict=True)]
    )
    # With two degrees of freedom t = (2 q - 1) / sqrt(2 q (1 - q)) at the quantile q.
    q = 1 - 0.05 / 21 / 2
    half = (2 * q - 1) / math.sqrt(2 * q * (1 - q)) * math.sqrt(0.125)
    assert [gap.interval.high - gap.interval.value for gap in found.gaps] == pytest.approx([half] * 6)
    assert "(Welch; 21 at once, those with the best shown: Bonferroni intervals, Holm p):" in as_text(found)


def test_the_level_the_interval_and_the_correction_are_those_asked_for():
    groups = [make_group("a", "w1", 0.1, 0.2, 0.3), make_group("b", "w1", 0.5, 0.9), make_group("c", "w1", 1.5, 1.8)]
    wide = compare(groups, ["w1"], level=0.99)
    assert wide.cells[0][0].high == pytest.approx(0.2 + 9.924843 * 0.1 / math.sqrt(3))
    resampled = compare(groups, ["w1"], interval="bootstrap").cells[0][0]
    assert 0.1 <= resampled.low < 0.2 < resampled.high <= 0.3
    raw, bonferroni = (compare(groups, ["w1"], correction=name).gaps for name in ("none", "bonferroni"))
    assert [gap.adjusted for gap in bonferroni] == pytest.approx([min(1.0, 3 * gap.p) for gap in raw])
    assert "0.99 interval" in as_text(wide)


@pytest.mark.parametrize(
    ("tag", "values", "ends"),
    [
        ("jsd/exact", (0.01, 0.03), (0.0, 0.02 + T1 * 0.01)),  # s / sqrt n = 0.01
        ("jsd/exact", (0.01, 0.03, 0.02), (0.0, 0.02 + T2 * 0.01 / math.sqrt(3))),
        ("jsd/exact", (0.68, 0.66), (0.67 - T1 * 0.01, math.log(2))),
        ("jsd/exact", (0.3, 0.302), (0.301 - T1 * 0.001, 0.301 + T1 * 0.001)),  # within the bounds it stays
        ("D(x)", (0.9, 1.0), (0.95 - T1 * 0.05, 1.0)),
        ("jsd/probe", (0.01, 0.03), (0.02 - T1 * 0.01, 0.02 + T1 * 0.01)),  # its expectation may be below 0
        ("something", (0.01, 0.03), (0.02 - T1 * 0.01, 0.02 + T1 * 0.01)),
    ],
)
def test_an_interval_ends_where_the_mean_cannot_be_and_its_estimate_stays(tag, values, ends):
    found = compare([make_group("a", tag, *values)], [tag])
    assert (found.cells[0][0].low, found.cells[0][0].high) == pytest.approx(ends)
    assert found.cells[0][0].value == pytest.approx(sum(values) / len(values))
    low, high = (f"{end:.4g}" for end in ends)
    assert rows(found, 0)[0][-2] == f"{low} to {high}"


def test_nothing_is_compared_with_nothing():
    found = compare([make_group("a", JSD, 0.1)], [])
    assert (found.cells, found.best, found.gaps) == ([[]], [[]], [])


# Formats


def assert_rows(records: list[dict[str, Any]], unknown: Any) -> None:
    """Check ``records`` against the numbers that were worked out by hand."""
    assert [record["loss"] for record in records] == ["hinge", "minimax"]
    for record in records:
        for key, value in ROWS[record["loss"]].items():
            assert float(record[key]) == pytest.approx(value, rel=1e-6), key
        for key in UNKNOWN[record["loss"]]:
            assert str(record[key]) == str(unknown), key
    assert [(int(record["runs"]), int(record["failed"])) for record in records] == [(4, 1), (2, 0)]


def test_records_carry_the_numbers_worked_out_by_hand(two):
    records = as_records(two)
    assert_rows(records, math.nan)
    assert [record["margin"] for record in records] == [1.5, None]


def test_csv_is_read_back(two):
    table = list(csv.DictReader(io.StringIO(as_csv(two))))
    assert_rows(table, "nan")
    assert [record["margin"] for record in table] == ["1.5", ""]
    assert as_csv(two).count("\n") == 3 and "\r" not in as_csv(two)


def test_csv_quotes_what_has_commas():
    found = compare([Group({"hidden": [8, 8], "name": 'a "b", c'}, [make_run(w1=1.0)])], ["w1"])
    (record,) = csv.DictReader(io.StringIO(as_csv(found)))
    assert (record["hidden"], record["name"], record["w1 mean"]) == ("[8, 8]", 'a "b", c', "1.0")


def test_csv_of_nothing_is_no_rows():
    assert as_csv(compare([], ["w1"])).strip() == ""


def test_json_is_read_back_and_what_is_not_finite_is_null(two):
    told = json.loads(as_json(two), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (told["level"], told["interval"], told["correction"], told["pairs"]) == (0.95, "student", "holm", 1)
    assert told["notes"] == []
    assert as_json(two).startswith('{\n  "level": 0.95,\n')
    assert_rows(told["groups"], None)
    (gap,) = told["differences"]
    names = ("loss=hinge, margin=1.5", "loss=minimax")
    assert (gap["metric"], gap["first"], gap["second"]) == (JSD, *names)
    assert [gap[key] for key in ("difference", "low", "high")] == pytest.approx([-0.5, -0.5 - REACH, -0.5 + REACH])
    assert gap["p"] == gap["adjusted"] == pytest.approx(P)


def test_json_of_the_infinite_and_of_single_runs_is_null():
    groups = [make_group("far", JSD, math.inf, 1.0), make_group("one", JSD, 0.5), make_group("none", JSD)]
    told = json.loads(as_json(compare(groups, [JSD])), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    one, far, none = told["groups"]
    assert (one["loss"], one[f"{JSD} mean"], one[f"{JSD} low"], one[f"{JSD} best"]) == ("one", 0.5, None, 0.5)
    assert (far["loss"], far[f"{JSD} mean"], far[f"{JSD} high"], far[f"{JSD} best"]) == ("far", None, None, 1.0)
    assert (none["loss"], none["runs"], none[f"{JSD} mean"], none[f"{JSD} best"]) == ("none", 0, None, None)
    assert all(gap[key] is None for gap in told["differences"] for key in ("difference", "low", "p", "adjusted"))


def test_json_tells_p_before_and_after_the_correction():
    # Variance 1 + 1, two degrees of freedom: p = 1 - t / sqrt(2 + t^2), with t^2 of 50, 200 and 50.
    near, far = 1 - math.sqrt(50 / 52), 1 - math.sqrt(200 / 202)
    groups = [make_group("a", "w1", 0, 2), make_group("b", "w1", 10, 12), make_group("c", "w1", 20, 22)]
    gaps = json.loads(as_json(compare(groups, ["w1"])))["differences"]
    assert [(gap["first"], gap["second"]) for gap in gaps] == [
        ("loss=a", "loss=b"),
        ("loss=a", "loss=c"),
        ("loss=b", "loss=c"),
    ]
    assert [gap["p"] for gap in gaps] == pytest.approx([near, far, near])
    assert [gap["adjusted"] for gap in gaps] == pytest.approx([2 * near, 3 * far, 2 * near])


def read_markdown(text: str) -> dict[str, list[dict[str, str]]]:
    """The tables of ``text`` by their titles, each a list of rows by the heads, with the escapes undone."""
    tables: dict[str, list[dict[str, str]]] = {}
    for block in re.findall(r"^\*\*(.+)\*\*\n\n((?:\|.*\|\n)+)", text, re.MULTILINE):
        lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in block[1].splitlines()]
        head, rule, *body = [[cell.strip().replace("\\|", "|") for cell in cells] for cells in lines]
        assert rule == ["---"] * len(head)
        tables[block[0]] = [dict(zip(head, cells, strict=True)) for cells in body]
    return tables


def test_markdown_is_read_back(two):
    tables = read_markdown(as_markdown(two))
    assert list(tables) == [JSD, MODES, REAL]
    hinge = {"loss": "hinge", "margin": "1.5", "runs": "4", "failed": "1", "n": "3", "mean": "0.2", "best": "0.1"}
    minimax = {"loss": "minimax", "margin": "", "runs": "2", "failed": "0", "n": "2", "mean": "0.7", "best": "0.6"}
    ends = [row.pop("0.95 interval") for row in tables[JSD]]
    assert tables[JSD] == [hinge, minimax]
    for text, name in zip(ends, ("hinge", "minimax"), strict=True):
        low, high = map(float, text.split(" to "))
        assert [low, high] == pytest.approx([ROWS[name][f"{JSD} low"], ROWS[name][f"{JSD} high"]], rel=1e-3)
    assert [row["best"] for row in tables[MODES]] == ["8", "5"]
    assert [(row["mean"], row["0.95 interval"], row["best"]) for row in tables[REAL]] == [
        ("0.5", "no variance", ""),
        ("", "", ""),
    ]


def test_markdown_ends_with_the_differences(two):
    title, _, line = as_markdown(two).splitlines()[-3:]
    assert title == "differences in jsd/exact (Welch; 1 at once: Bonferroni intervals, Holm p):"
    told = re.fullmatch(
        r"- loss=hinge, margin=1\.5 minus loss=minimax: -0\.5 \[(.+), (.+)\], p = (.+); probability of improvement 1",
        line,
    )
    assert told is not None
    assert [float(text) for text in told.groups()] == pytest.approx(
        [-0.5 - REACH, -0.5 + REACH, P], abs=6e-4
    )  # four digits


def test_a_bar_in_a_setting_stays_in_its_cell():
    groups = [Group({"a|b": "x|y", "n|": 1}, [make_run(w1=1.0)]), Group({"a|b": "||"}, [make_run(w1=2.0)])]
    (rows,) = read_markdown(as_markdown(compare(groups, ["w1"]))).values()
    assert [(row["a|b"], row["n|"], row["mean"]) for row in rows] == [("x|y", "1", "1"), ("||", "", "2")]


def test_text_has_every_number_of_the_markdown(two):
    lines = as_text(two, 120).splitlines()
    start = {tag: lines.index(tag) for tag in (JSD, MODES, REAL)}
    heads = re.split(r"  +", lines[start[JSD] + 2].strip())
    assert heads == ["loss", "margin", "runs", "failed", "n", "mean", "0.95 interval", "best"]
    rows = [re.split(r"  +", lines[start[JSD] + i].strip()) for i in (4, 5)]
    assert rows[0] == ["hinge", "1.5", "4", "1", "3", "0.2", "0 to 0.4484", "0.1"]
    assert rows[1] == ["minimax", "2", "0", "2", "0.7", "0 to 0.6931", "0.6"]
    assert lines[-2].startswith("differences in jsd/exact (Welch; 1 at once")
    assert lines[-1].startswith("  loss=hinge, margin=1.5 minus loss=minimax: -0.5 [")
    assert all(line == line.rstrip() for line in lines) and all(len(line) <= 120 for line in lines)


def test_a_narrow_text_loses_nothing_and_reads_no_markup():
    name = "[red]a:smile:" + 60 * "b"
    found = compare([Group({"name": name}, [make_run(w1=1.0)])], ["w1"])
    lines = as_text(found, 60).splitlines()
    assert all(len(line) <= 60 for line in lines)
    rule = next(i for i, line in enumerate(lines) if "──" in line)
    assert "".join(line.split()[0] for line in lines[rule + 1 :] if line.strip()) == name
    both = compare([Group({"a": "[red]:smile:"}, [make_run(w1=1.0)]), Group({"a": "b"}, [make_run(w1=2.0)])], ["w1"])
    assert "  a=[red]:smile: minus a=b: -1 (too few" in as_text(both, 60)


def test_a_text_without_a_width_is_as_wide_as_its_rows():
    name = 300 * "b"
    found = compare([Group({"name": name}, [make_run(w1=1.0)])], ["w1"])
    (row,) = [line for line in as_text(found).splitlines() if name in line]
    assert row.split() == [name, "1", "0", "1", "1", "1"]
    assert max(map(len, as_text(found).splitlines())) < 400  # and no wider


@pytest.mark.parametrize(
    ("terminal", "columns", "width"), [(False, "", None), (False, "60", 60), (True, "60", 60), (True, "", 80)]
)
def test_the_width_is_that_of_the_terminal_or_that_which_is_asked_for(terminal, columns, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((80, 24)))
    assert terminal_width() == width


def test_lines_of_differences_say_how_sure_they_are():
    # Two degrees of freedom and the variance 1.25e-5: p is about 1.25e-5 too, and the interval 4.303 * 0.003536 wide.
    groups = [make_group("a", "w1", 1.0, 1.005), make_group("b", "w1", 2.0, 2.005), make_group("c", "w1", 5)]

    lines = gap_lines(compare(groups, ["w1"]))
    assert lines[0].startswith("loss=a minus loss=b: -1 [-1.015, -0.9848], p < 0.0001")
    assert lines[1:] == [
        f"loss={name} minus loss=c: {gap} (too few runs for an interval); probability of improvement 1"
        for name, gap in (("a", -3.998), ("b", -2.998))
    ]


def test_infinite_and_missing_differences_have_no_interval():
    groups = [make_group("a", JSD, 1.0, 2.0), make_group("b", JSD, 1.0, math.inf), make_group("c", JSD)]
    assert gap_lines(compare(groups, [JSD])) == [
        "loss=a minus loss=b: -inf (no interval); probability of improvement 0.625",
        "loss=a minus loss=c: not known, no run of loss=c that counts has it",
        "loss=b minus loss=c: not known, no run of loss=c that counts has it",
    ]


@pytest.mark.parametrize(
    ("correction", "how"),
    [("holm", "Bonferroni intervals, Holm p"), ("bonferroni", "Bonferroni"), ("none", "not corrected")],
)
def test_the_title_of_the_differences_says_how_many_were_tested_and_how(correction, how):
    groups = [
        make_group("a", "w1", 1, 2),
        make_group("b", "w1", 3, 5),
        make_group("c", "w1", 9, 12),
        make_group("d", "w1", 20),
    ]
    told = as_text(compare(groups, ["w1"], correction=correction))
    assert f"differences in w1 (Welch; 3 at once: {how}):" in told


def test_groups_without_variance_are_compared_by_permutations_and_have_no_interval():
    groups = [make_group("eight", MODES, 8, 8), make_group("seven", MODES, 7, 7)]
    found = compare(groups, [MODES])
    # Of the 6 ways to give 2 of 4 runs to the first group 2 are as extreme.
    line = "loss=eight minus loss=seven: +1 (no variance, so no interval; exact permutation test: p = 0.3333)"
    line += "; probability of improvement 1"
    assert gap_lines(found) == [line]
    text, markdown = as_text(found), as_markdown(found)
    assert text.count("no variance") == markdown.count("no variance") == 3 and line in text and line in markdown
    told = json.loads(as_json(found))
    assert [one[f"{MODES} low"] for one in told["groups"]] == [None, None]
    (gap,) = told["differences"]
    assert (gap["difference"], gap["low"], gap["high"]) == (1.0, None, None)
    assert gap["p"] == gap["adjusted"] == pytest.approx(1 / 3)


def test_runs_that_do_not_count_are_counted_by_kind_in_columns_of_their_own():
    def seeded(status: str, seed: int) -> Run:
        return Run(Path(f"{status}{seed}"), {"seed": seed}, status, {JSD: float(seed)})

    runs = [seeded("completed", 1), seeded("completed", 2), seeded("stopped", 3), seeded("running", 4)]
    runs += [seeded("pruned", 5), seeded("failed", 6), seeded("completed", 1)]
    for unfinished, mean in ((False, 1.5), (True, 2.5)):
        found = compare([Group({"loss": "a"}, runs, unfinished), make_group("b", JSD, 9.0)], [JSD])
        first, second = as_records(found)
        counts = {"runs": 6, "failed": 1, "pruned": 1, "unfinished": 2, "repeated": 1}
        assert {key: first[key] for key in counts} == counts and first[f"{JSD} mean"] == mean
        assert [second[key] for key in counts] == [1, 0, 0, 0, 0]
        assert heads(found) == ["loss", *counts, "n", "mean", "0.95 interval", "best"]
        assert next(csv.DictReader(io.StringIO(as_csv(found))))["unfinished"] == "2"
        assert len(found.notes) == 2
        for note in found.notes:
            assert f"note: {note}" in as_text(found).splitlines() and f"note: {note}" in as_markdown(found).splitlines()
        assert json.loads(as_json(found))["notes"] == found.notes


def test_only_kinds_that_there_are_have_a_column():
    found = compare([Group({}, [make_run(w1=1.0), make_run("stopped", w1=2.0)])], ["w1"])
    assert heads(found) == ["runs", "failed", "unfinished", "n", "mean", "0.95 interval", "best"]
    assert heads(compare([], ["w1"])) == ["runs", "failed", "n", "mean", "0.95 interval", "best"]


def test_a_single_group_has_no_differences():
    for make in (as_text, as_markdown):
        assert "differences" not in make(compare([make_group("a", "w1", 1, 2)], ["w1"]))


def test_n_counts_the_runs_that_are_in_the_mean_of_each_metric():
    runs = [make_run(w1=1.0, jsd=0.5), make_run(w1=2.0), make_run("stopped", w1=9.0)]
    found = compare([Group({}, runs)], ["w1", "jsd"])
    assert heads(found)[:4] == ["runs", "failed", "unfinished", "n"]
    assert [rows(found, metric)[0][:4] for metric in (0, 1)] == [["3", "0", "1", "2"], ["3", "0", "1", "1"]]
    (record,) = as_records(found)
    assert (record["runs"], record["w1 n"], record["jsd n"]) == (3, 2, 1)
