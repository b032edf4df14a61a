"""Divergences of two distributions whose densities are both known, as means over draws of each."""

from __future__ import annotations

import numpy as np

from ganrun.datasets import cells
from ganrun.datasets.synthetic import Mixture
from ganrun.evaluation.divergence.distribution import Distribution, drawing
from ganrun.evaluation.divergence.estimate import LOG_2
from ganrun.evaluation.divergence.exact.densities import Exact

STANDARD_ERRORS = 3.0  # half the width of the error bound


def of_log_density(density: Mixture, model: Distribution, points: int, seed: int = 0) -> Exact:
    """Return the divergences of a ``density`` and a model with ``log_density``, without ``w1``.

    The only error is that of the draws. It is small where the densities are close, because the share of the data a(x) =
    p(x) / (p(x) + q(x)) has a known mean, which is used as a control variate: E_p a + E_q a = 1.

    Formula: JSD = 1/2 E_p log(2 a) + 1/2 E_q log(2 (1 - a)); KL(p, q) = E_p log(p / q)

    Args:
        density: the data p.
        model: the model q, with ``draw`` and ``log_density``.
        points: draws of each.
        seed: of the draws.

    Raises:
        ValueError: the model has no log density, or it is NaN somewhere.
    """
    if model.log_density is None or model.draw is None:
        raise ValueError(f"{model.label} has no log density.")
    seeds = np.random.SeedSequence([seed, 3]).generate_state(2)
    x, y = drawing(density)(points, int(seeds[0])), model.draw(points, int(seeds[1]))
    log_ratios = [cells.log_density(density, rows.astype(np.float64)) - model.log_density(rows) for rows in (x, y)]
    if any(np.isnan(log_ratio).any() for log_ratio in log_ratios):
        raise ValueError(f"the log density of {model.label} is NaN.")
    log_shares = [-np.logaddexp(0.0, -log_ratios[0]), -np.logaddexp(0.0, log_ratios[1])]
    terms = [0.5 * (LOG_2 + log_share) for log_share in log_shares]
    shares = [np.exp(log_shares[0]), 1.0 - np.exp(log_shares[1])]
    covariance = np.cov(terms[0], shares[0]) + np.cov(terms[1], shares[1])
    slope = covariance[0, 1] / covariance[1, 1] if covariance[1, 1] > 0 else 0.0
    jsd = sum(float(term.mean()) for term in terms) - slope * (sum(float(share.mean()) for share in shares) - 1.0)
    variance = max(0.0, covariance[0, 0] - slope * covariance[0, 1]) / points
    return Exact(
        jsd=float(np.clip(jsd, 0.0, LOG_2)),
        kl_forward=float(log_ratios[0].mean()),
        kl_reverse=-float(log_ratios[1].mean()),
        w1=None,
        error=STANDARD_ERRORS * float(np.sqrt(variance)) + 1e-7,
    )
