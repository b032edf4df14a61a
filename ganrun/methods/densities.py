"""The specifications of estimates of log p(x) that several methods share."""

from __future__ import annotations

from ganrun.methods.metric_spec import EVERYWHERE, MetricSpec

LOG_LIKELIHOOD = MetricSpec(
    "log_likelihood", "log p(x) of held-out examples, exact", "nats", "higher", shown=EVERYWHERE
)
