"""Which package of ganrun imports which: prints a page with a diagram that GitHub and every Mermaid viewer draw.

    python scripts/package_graph.py [out=docs/packages.md]

An arrow A --> B means that a module of package A imports one of package B. Arrows that follow from others are left out.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# Packages

An arrow points from a package to a package that it imports; an import that follows from two others is not drawn. No
two packages import each other. This page is written by `python scripts/package_graph.py out=docs/packages.md`.
"""


def packages(root: Path = ROOT) -> dict[str, set[str]]:
    """Return the packages that each package at the top of ``ganrun/`` imports; a module there counts as a package."""
    names = {path.stem for path in (root / "ganrun").iterdir() if path.suffix == ".py" or path.is_dir()}
    found: dict[str, set[str]] = {}
    for path in sorted((root / "ganrun").rglob("*.py")):
        own = path.relative_to(root / "ganrun").parts[0].removesuffix(".py")
        imported = {name for name in _imports(path) if name in names}
        found[own] = (found.get(own, set()) | imported) - {own}
    return {name: found[name] for name in sorted(found) if not name.startswith("__")}


def _imports(path: Path) -> Iterator[str]:
    """Yield the first part of the name of every module of ganrun that the file ``path`` imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "ganrun":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ganrun."):
            yield (node.module or "").split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("ganrun."))


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return ``graph`` without the arrows that follow from others (its transitive reduction).

    Raises:
        graphlib.CycleError: there is a cycle.
    """
    below: dict[str, set[str]] = {}
    for name in TopologicalSorter(graph).static_order():
        children = graph.get(name, set())
        below[name] = children.union(*(below[child] for child in children))
    return {
        name: {child for child in children if not any(child in below[other] for other in children)}
        for name, children in graph.items()
    }


def page(graph: dict[str, set[str]]) -> str:
    """Return the page as Markdown."""
    arrows = [f"    {name} --> {child}" for name, children in reduced(graph).items() for child in sorted(children)]
    return "\n".join([HEAD, "```mermaid", "graph TD", *arrows, "```", ""])


def main() -> None:
    """Print the page, or write it to ``out``."""
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    text = page(packages())
    if "out" in given:
        Path(given["out"]).write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
