"""The text pages of a run in TensorBoard: its whole config, and the meaning of each tag."""

from __future__ import annotations

import yaml

from ganrun.config.schema import to_dict
from ganrun.config.settings import Train
from ganrun.evaluation.metrics.spec import specs
from ganrun.methods.metric_spec import MetricSpec


def pages(config: Train) -> dict[str, str]:
    """Return the pages of the run described by ``config``, in Markdown, by tag."""
    return {"config": config_page(config), "metrics": metrics_page()}


def config_page(config: Train) -> str:
    """Return the settings of ``config.yaml``, indented as a Markdown code block."""
    text = yaml.safe_dump({**to_dict(config), "resume": None}, sort_keys=False)
    return "\n".join(f"    {line}" for line in text.splitlines())


def metrics_page() -> str:
    """Return a table of all metrics: tag, meaning, unit, and which direction is better."""
    return "\n".join(["| tag | what it is | unit | better |", "|---|---|---|---|", *map(_row, specs())])


def _row(spec: MetricSpec) -> str:
    return f"| `{spec.name}` | {spec.meaning} | {spec.unit} | {spec.better or ''} |"
