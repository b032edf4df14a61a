"""The page of a reproduction, and its summary in the terminal."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from ganrun.reproduce.claims import CLAIMS, MISTAKES, Claim
from ganrun.reproduce.experiments import experiments
from ganrun.reproduce.finding import Finding
from ganrun.reproduce.run import SKIPPED, Budget, Result, mark
from ganrun.writers.console import Terminal
from ganrun.writers.whole import write_whole

REPRODUCED, FALSE, NOT, LEFT_OUT = "reproduced", "false as stated", "**not reproduced**", "not run"


def verdict(findings: Sequence[Finding]) -> str:
    """Return the verdict on a claim, given its findings."""
    if not findings:
        return LEFT_OUT
    usual = [one for one in findings if not one.as_stated]
    stated = [one for one in findings if one.as_stated]
    if not all(one.agrees for one in usual) or any(one.agrees for one in stated):
        return NOT
    return FALSE if stated else REPRODUCED


def by_claim(results: Iterable[Result]) -> dict[int, list[tuple[Result, Finding]]]:
    """Return the findings of every claim, with the results that they belong to."""
    found: dict[int, list[tuple[Result, Finding]]] = {number: [] for number in CLAIMS}
    for result in results:
        for one in result.findings:
            if one.claim is not None:
                found[one.claim].append((result, one))
    return found


def listing() -> None:
    """Print the experiments with their source, what they show and how long they take on two cores."""
    terminal = Terminal(markup=False, emoji=False, highlight=False, soft_wrap=True)
    for one in experiments().values():
        cost = "GPU" if one.needs_gpu else f"{one.minutes[0]:g} min, full {one.minutes[1]:g} min"
        terminal.print(f"{one.name} ({cost})", style="bold")
        claims = f" (claims {', '.join(map(str, one.claims))})" if one.claims else ""
        terminal.print(f"    {one.shows}{claims}\n    {one.source}")


def verdicts(results: Sequence[Result], strict: bool, page: Path) -> int:
    """Print how many experiments and claims agree, and return the exit code: 0 if all that were run do."""
    terminal = Terminal(markup=False, emoji=False, highlight=False, soft_wrap=True)
    run = [one for one in results if strict or one.problem != SKIPPED]
    bad = [one for one in run if not (one.agrees_strictly() if strict else one.agrees)]
    tested = {number: [one for _, one in found] for number, found in by_claim(results).items() if found}
    counts = {text: sum(verdict(found) == text for found in tested.values()) for text in (REPRODUCED, FALSE, NOT)}
    terminal.print(
        f"{len(run) - len(bad)} of {len(run)} experiments agree with what was expected"
        + (f"; not: {', '.join(one.name for one in bad)}" if bad else "")
    )
    if tested:
        terminal.print(
            f"claims: {counts[REPRODUCED]} reproduced, {counts[FALSE]} false as stated, {counts[NOT]} not reproduced, "
            f"{len(CLAIMS) - len(tested)} not run"
        )
    terminal.print(f"page: {page}")
    return 1 if bad else 0


def write_page(page: Path, results: Sequence[Result], budget: Budget) -> None:
    """Write ``page`` as Markdown, and copy the figures into the folder ``<page>_figures`` beside it."""
    figures = page.with_name(f"{page.stem}_figures")
    lines = [*_head(results, budget), *_claims(results), *_mistakes(), "## Experiments", ""]
    for result in results:
        lines += _section(result, figures, budget)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_whole(page, ("\n".join(lines).rstrip() + "\n").encode())


def _head(results: Sequence[Result], budget: Budget) -> list[str]:
    done = [one for one in results if one.date]
    about = done[0].about if done else {}
    versions = ", ".join(f"{name} {number}" for name, number in about.get("versions", {}).items())
    dates = sorted({one.date for one in done})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}" if dates else "never"
    seeds = "seeds as each experiment needs" if budget.seeds is None else f"{budget.seeds} seeds"
    return [
        "# Reproduction",
        "",
        "What the sources claim and papers publish, beside numbers of ganrun. This page is written by",
        f"`ganrun reproduce`: budget {'full' if budget.full else 'quick'}, {seeds}, {when}.",
        f"Device: {about.get('device', 'unknown')}; {versions}.",
        "",
        "Numbers are means over seeds with 95 % intervals of Student's t. A number agrees if its mean, or every seed",
        "where that is stated, lies in the range that the experiment accepts. A claim is reproduced if all of its",
        "numbers agree. It is false as stated if the number that tests the printed statement contradicts it, and the",
        "correct statement agrees.",
        "",
    ]


def _claims(results: Sequence[Result]) -> list[str]:
    lines = ["## Claims", "", "| # | claim | source | verdict | experiment |", "|---|---|---|---|---|"]
    for number, found in by_claim(results).items():
        claim = CLAIMS[number]
        names = dict.fromkeys(result.name for result, _ in found)
        links = ", ".join(f"[{name}](#{name})" for name in names)
        row = (number, _cell(_statement(claim)), claim.source, verdict([one for _, one in found]), links)
        lines.append(f"| {' | '.join(map(str, row))} |")
    return [*lines, ""]


def _statement(claim: Claim) -> str:
    return f"{claim.statement} **Correct:** {claim.correct}" if claim.correct else claim.statement


def _mistakes() -> list[str]:
    lines = ["Further mistakes of the sources, which need no experiment:", "", "| source | printed | correct |"]
    lines.append("|---|---|---|")
    return [*lines, *(f"| {source} | {printed} | {correct} |" for source, printed, correct in MISTAKES), ""]


def _section(result: Result, figures: Path, budget: Budget) -> list[str]:
    about = experiments()[result.name]
    lines = [f"### {result.name}", "", f"{about.shows[0].upper()}{about.shows[1:]}. Source: {about.source}.", ""]
    if result.problem:
        return [*lines, f"Not run: {result.problem}.", ""]
    lines += ["| quantity | expected | ours | |", "|---|---|---|---|"]
    lines += [f"| {_cell(one.quantity)} | {one.expected} | {one.ours} | {mark(one)} |" for one in result.findings]
    lines.append("")
    for name, caption in result.figures:
        figures.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(budget.folder / result.name / name, figures / name)
        lines += [f"![{caption}]({figures.name}/{name})", "", caption, ""]
    minutes = f"{result.seconds / 60:.1f} minutes"
    if result.kept:
        minutes += f" without those of them that had been run before ({result.kept})"
    if not result.commands:
        return [*lines, f"Computed without training, {minutes}.", ""]
    root = f"{budget.folder}/"
    commands = [command.replace(root, "") for command in result.commands]
    return [*lines, f"Commands, {minutes}:", "", "```text", *dict.fromkeys(commands), "```", ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
