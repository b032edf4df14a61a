"""The comparison at the end of a sweep, printed and written to files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ganrun.comparison.board import write_statistics
from ganrun.comparison.curves import curves
from ganrun.comparison.formats import as_markdown, as_text, terminal_width
from ganrun.comparison.groups import group
from ganrun.comparison.runs import chosen_metrics, read_comparable
from ganrun.comparison.table import compare
from ganrun.storage.run_directory import STATISTICS, relative, write_atomically

MOST = 24  # groups beyond which their statistics would only crowd TensorBoard


def report(runs: Sequence[Path], folder: Path, metrics: Sequence[str] = (), statistics: bool = True) -> str:
    """Write ``comparison.md``, ``comparison.png`` and ``statistics/`` of ``runs`` into ``folder``; return a comparison.

    Runs whose files cannot be read are left out, and reported on standard error.

    Args:
        runs: of the sweep.
        folder: of the sweep.
        metrics: the tags to compare; the first determines the order. Default: the usual ones.
        statistics: whether to write ``statistics/``, which is only done for at most :data:`MOST` groups.
    """
    results, left_out = read_comparable([str(run) for run in runs], curves=True)
    metrics = chosen_metrics(list(metrics), results)
    if not metrics:
        return "no run has logged any metrics to compare yet"
    groups = group(results, metrics)
    table = compare(groups, metrics, more_notes=left_out)
    write_atomically(folder / "comparison.md", as_markdown(table))
    (folder / "comparison.png").write_bytes(curves(table.groups, metrics))
    written = statistics and len(groups) <= MOST and write_statistics(groups, folder)
    more = f", {STATISTICS} (mean, low and high for TensorBoard)" if written else ""
    return f"{as_text(table, terminal_width())}also in {relative(folder)}: comparison.md, comparison.png (curves){more}"
