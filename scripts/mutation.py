"""Mutation testing: makes small changes in the code, one at a time, and checks that the tests fail.

    python scripts/mutation.py [sample=200] [seed=0] [workers=2] [only=ganrun/comparison] [log=FILE] [out=FILE.md]

The mutations are those of Cosmic Ray (`pip install cosmic-ray`): another operator, another comparison, a number off by
one, a condition negated, a loop never entered. ``sample`` places are drawn at random, equally many from the GAN
methods, the divergences, the metrics and the comparison, with one mutant at each. A mutant is killed if a test fails or
hangs: first in the test files that mirror or import the module, then in the others of its package, without slow tests.
``log`` has one line per mutant; an existing log is continued.

Annotations, docstrings and the arguments of ``@dataclass`` are not mutated, since they have no effect at run time.
"""

from __future__ import annotations

import ast
import difflib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ganrun/methods/gan", "ganrun/evaluation/divergence", "ganrun/evaluation/metrics", "ganrun/comparison")
SWAPS = (
    "Add_Sub",
    "Sub_Add",
    "Mul_Div",
    "Div_Mul",
    "Pow_Mul",
    "FloorDiv_Mul",
    "Mod_Add",
    "BitOr_BitAnd",
    "BitAnd_BitOr",
)
COMPARISONS = ("Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt")
COMPARISONS += ("Is_IsNot", "IsNot_Is")
OTHERS = ("ReplaceUnaryOperator_USub_UAdd", "ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_Delete_Invert")
OTHERS += ("AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd")
OTHERS += ("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "NumberReplacer", "ZeroIterationForLoop")
OPERATORS = tuple(
    f"core/{name}"
    for name in (
        *(f"ReplaceBinaryOperator_{swap}" for swap in SWAPS),
        *(f"ReplaceComparisonOperator_{swap}" for swap in COMPARISONS),
        *OTHERS,
    )
)
PATIENCE = 600.0  # time limit, in seconds, of the tests of one mutant


@dataclass(frozen=True)
class Mutant:
    """One mutation: the ``occurrence``-th place in ``module`` where ``operator`` applies."""

    module: str
    line: int
    operator: str
    occurrence: int


def silent(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the spans of ``source`` without effect at run time, as (line, column) of both ends."""
    nodes: list[Any] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            nodes.append(node.annotation)
        if isinstance(node, ast.FunctionDef) and node.returns is not None:
            nodes.append(node.returns)
        if isinstance(node, ast.ClassDef):
            nodes += [one for one in node.decorator_list if isinstance(one, ast.Call) and "dataclass" in ast.dump(one)]
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            nodes.append(node)
    return [((one.lineno, one.col_offset), (one.end_lineno, one.end_col_offset)) for one in nodes]


def mutants(module: str) -> Iterator[Mutant]:
    """Yield every mutant of the file ``module``."""
    from cosmic_ray.ast import ast_nodes, get_ast  # pyright: ignore[reportMissingImports]
    from cosmic_ray.plugins import get_operator  # pyright: ignore[reportMissingImports]

    source = (ROOT / module).read_text(encoding="utf-8")
    tree, unseen = get_ast(source), silent(source)
    for name in OPERATORS:
        operator: Any = get_operator(name)()
        places = (start for node in ast_nodes(tree) for start, _ in operator.mutation_positions(node))
        for occurrence, start in enumerate(places):
            if not any(first <= start < last for first, last in unseen):
                yield Mutant(module, start[0], name, occurrence)


def drawn(modules: list[str], sample: int, seed: int) -> list[Mutant]:
    """Return one mutant at each of ``sample`` places, a place being a line of code and a kind of mutation.

    Every package contributes the same number of places, if it has so many.
    """
    rng = random.Random(seed)
    packages = [[one for one in modules if one.startswith(package)] for package in PACKAGES]
    packages = [package for package in packages if package]
    chosen: list[Mutant] = []
    for package in packages:
        places: dict[tuple[str, int, str], list[Mutant]] = {}
        for one in (one for module in package for one in mutants(module)):
            places.setdefault((one.module, one.line, one.operator.split("_")[0]), []).append(one)
        keys = sorted(places)
        share = -(-sample // len(packages))
        chosen += [rng.choice(places[key]) for key in rng.sample(keys, min(share, len(keys)))]
    return chosen


def stages(module: str) -> list[list[str]]:
    """Return the tests of ``module`` in order: files that mirror or import it, that import its package, and others."""
    path = Path("tests") / Path(module).relative_to("ganrun")
    name = module.removesuffix(".py").replace("/", ".")
    parent, _, last = name.rpartition(".")
    importing = re.compile(rf"(from|import) {re.escape(name)}\b|from {re.escape(parent)} import .*\b{last}\b")
    near = re.compile(rf"from {re.escape(parent)} import")
    package = ROOT / "tests" / Path(next(one for one in PACKAGES if module.startswith(one))).relative_to("ganrun")
    parts: list[list[str]] = [[], [], []]
    for one in sorted(package.rglob("test_*.py")):
        text = one.read_text("utf-8")
        first = one.name == f"test_{path.name}" or importing.search(text)
        parts[0 if first else 1 if near.search(text) else 2].append(str(one.relative_to(ROOT)))
    return [part for part in parts if part]


def passes(folder: Path, tests: list[str], timeout: float) -> bool:
    """Return whether ``tests`` pass in the checkout ``folder`` within ``timeout`` seconds."""
    places = [str(folder), str(folder / "ganrun" / "plugins")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-n",
        "0",
        "-m",
        "not slow",
        "-p",
        "no:cacheprovider",
        *tests,
    ]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(timeout) in (0, 5)  # 5: no tests collected, since all are slow
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
        return False


def judged(folder: Path, mutant: Mutant) -> dict[str, Any]:
    """Test ``mutant`` in the checkout ``folder``; return whether it was killed, the change, and the time."""
    from cosmic_ray.mutating import mutate_code  # pyright: ignore[reportMissingImports]
    from cosmic_ray.plugins import get_operator  # pyright: ignore[reportMissingImports]

    path, begun = folder / mutant.module, time.monotonic()
    old = path.read_text(encoding="utf-8")
    new = mutate_code(old, get_operator(mutant.operator)(), mutant.occurrence)
    if new is None:
        raise ValueError(f"{mutant} is not there")
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    change = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    path.write_text(new, encoding="utf-8")
    try:
        killed = not all(passes(folder, tests, PATIENCE) for tests in stages(mutant.module))
    finally:
        path.write_text(old, encoding="utf-8")
    return asdict(mutant) | {"killed": killed, "change": change, "seconds": round(time.monotonic() - begun, 1)}


def page(found: list[dict[str, Any]], words: list[str]) -> str:
    """Return the results as Markdown."""
    counts = Counter((next(p for p in PACKAGES if one["module"].startswith(p)), one["killed"]) for one in found)
    lines = [f"`python scripts/mutation.py {' '.join(words)}`", "", "| package | mutants | killed | score |"]
    lines.append("|---|---|---|---|")
    for package in [one for one in PACKAGES if counts[one, True] + counts[one, False]]:
        killed, total = counts[package, True], counts[package, True] + counts[package, False]
        lines.append(f"| `{package}` | {total} | {killed} | {killed / total:.1%} |")
    killed = sum(one["killed"] for one in found)
    lines += [f"| all | {len(found)} | {killed} | {killed / len(found):.1%} |", "", "Survivors:", ""]
    for one in sorted((one for one in found if not one["killed"]), key=lambda one: (one["module"], one["line"])):
        lines += [
            f"- `{one['module']}:{one['line']}`",
            "",
            "  ```diff",
            *(f"  {text}" for text in one["change"]),
            "  ```",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the report, and write it to ``out`` if given."""
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    only = tuple(given.get("only", ",".join(PACKAGES)).split(","))
    listed = subprocess.run(["git", "ls-files", *only], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    modules = [name for name in listed.split() if name.endswith(".py")]
    asked = drawn(modules, int(given.get("sample", 200)), int(given.get("seed", 0)))
    log = Path(given.get("log", "mutants.jsonl"))
    found = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    done = {Mutant(**{key: one[key] for key in Mutant.__dataclass_fields__}) for one in found}
    with tempfile.TemporaryDirectory() as scratch:
        checkouts: SimpleQueue[Path] = SimpleQueue()
        for i in range(workers := int(given.get("workers", 2))):
            subprocess.run(["git", "clone", "--quiet", str(ROOT), f"{scratch}/{i}"], check=True)
            checkouts.put(Path(scratch) / str(i))

        def one(mutant: Mutant) -> dict[str, Any]:
            folder = checkouts.get()
            try:
                return judged(folder, mutant)
            finally:
                checkouts.put(folder)

        first = checkouts.get()
        for tests in sorted({stages(mutant.module)[0][0] for mutant in asked} if not done else set()):
            if not passes(first, [tests], PATIENCE):
                sys.exit(f"mutation.py: {tests} does not pass as it is")
        checkouts.put(first)
        with ThreadPoolExecutor(workers) as pool, log.open("a") as file:
            for future in as_completed([pool.submit(one, mutant) for mutant in asked if mutant not in done]):
                found.append(result := future.result())
                file.write(json.dumps(result) + "\n")
                file.flush()
                state = "killed" if result["killed"] else "SURVIVED"
                print(f"{len(found)}/{len(asked)} {state} {result['module']}:{result['line']}", flush=True)
    text = page(found, sys.argv[1:])
    print(text)
    if "out" in given:
        Path(given["out"]).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
