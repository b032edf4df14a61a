"""Metrics of methods that compute the density of an example, or a bound on it, without sampling latents."""

from __future__ import annotations

from ganrun.methods.metric_spec import EVERYWHERE, MetricSpec

LOG_LIKELIHOOD = MetricSpec(
    "log_likelihood", "log p(x) of held-out examples, exact", "nats", "higher", shown=EVERYWHERE
)
LOG_LIKELIHOOD_BOUND = MetricSpec(
    "log_likelihood_bound",
    "lower bound on log p(x) of held-out 8-bit images, by uniform dequantisation",
    "nats",
    "higher",
    shown=EVERYWHERE,
)
UNCERTAIN_LOG_Z = 0.1  # standard error in nats, above which docs/likelihoods.md advises against an estimate of log Z
