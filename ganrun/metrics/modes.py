"""Mode coverage of a mixture of Gaussians whose centres are known."""

from __future__ import annotations

import numpy as np

HIGH_QUALITY_STDS = 3.0  # a sample counts for a mode within so many standard deviations of its centre
BLOCK = 1 << 22  # distances held at once
COVERED_SHARE = 0.2  # a mode is covered when it gets this share of the samples that it should


def coverage(samples: np.ndarray, means: np.ndarray, stds: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Count the modes that ``samples`` reach.

    A sample belongs to the component that it has most likely come from: the largest log w_i - d log std_i -
    r_i^2 / 2 std_i^2, with r_i its distance from the centre. Where all components are as wide and as heavy that is the
    nearest centre, as in the papers; elsewhere the nearest centre would give a wide component's samples to a narrow one
    beside it. A sample has high quality when it lies within 3 standard deviations of that component's centre
    (Srivastava et al. 2017, VEEGAN, section 4), as 1 - exp(-4.5) = 0.9889 of the data do in the plane and 0.9973 on the
    line, if no two components overlap. A mode is covered when its high-quality samples are at least 20 % of the samples
    that its weight entitles it to, so that a few strays do not count. The mode KL is that of :func:`mode_kl` over the
    high-quality samples: the others say nothing of any mode, and their share stands beside it.

    Args:
        samples: ``(n, dim)``.
        means: ``(modes, dim)``.
        stds: ``(modes,)``.
        weights: ``(modes,)``, summing to 1.

    Returns:
        ``modes/covered`` (a count), ``modes/high_quality`` (a fraction of the samples) and ``modes/kl`` (nats).
    """
    samples = np.asarray(samples, np.float64)  # a run that diverges has squares that single precision cannot hold
    component, distance = assigned(samples, means, stds, weights)
    good = distance <= HIGH_QUALITY_STDS
    counts = np.bincount(component[good], minlength=len(means))
    return {
        "modes/covered": float(np.sum(counts / len(samples) >= COVERED_SHARE * weights)),
        "modes/high_quality": float(good.mean()),
        "modes/kl": mode_kl(counts, weights),
    }


def floor(n: int, means: np.ndarray, stds: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Return what ``n`` examples of the data themselves score: the best that a generator can be expected to.

    The examples are the same for every run. Returns ``modes/high_quality_data`` and ``modes/kl_data`` (nats).
    """
    rng = np.random.default_rng(0)
    component = rng.choice(len(means), n, p=np.asarray(weights, np.float64) / np.sum(weights, dtype=np.float64))
    examples = means[component] + stds[component, None] * rng.standard_normal((n, means.shape[1]))
    seen = coverage(examples, means, stds, weights)
    return {f"{tag}_data": seen[tag] for tag in ("modes/high_quality", "modes/kl")}


def assigned(
    samples: np.ndarray, means: np.ndarray, stds: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the likeliest component ``(n,)`` of each sample, and how many standard deviations it is from its centre.

    Args:
        samples: ``(n, dim)``, double precision.
        means: ``(modes, dim)``.
        stds: ``(modes,)``.
        weights: ``(modes,)``, positive.
    """
    stds = np.asarray(stds, np.float64)
    prior = np.log(np.asarray(weights, np.float64)) - means.shape[1] * np.log(stds)
    components, distances = [np.zeros(0, np.int64)], [np.zeros(0)]
    rows = max(1, BLOCK // len(means))
    for start in range(0, len(samples), rows):
        distance = np.linalg.norm(samples[start : start + rows, None, :] - means, axis=-1) / stds
        likeliest = (prior - 0.5 * distance**2).argmax(axis=1)
        components.append(likeliest)
        distances.append(distance[np.arange(len(distance)), likeliest])
    return np.concatenate(components), np.concatenate(distances)


def mode_kl(counts: np.ndarray, weights: np.ndarray) -> float:
    """Return KL(model || data) over the modes, in nats: how unevenly the model serves the modes that it reaches.

    It is 0 where every mode has its share, and log(modes / reached) where some of equally heavy modes are missing and
    the others alike. Without any sample it is as large as it can be: that of a model with all of its samples at the
    lightest mode, so that a run which has lost every mode can still be logged and compared.

    Formula: sum_i q_i log(q_i / w_i), with q the shares of the samples and w the weights of the modes
    Paper: Lin et al. 2018, "PacGAN: the power of two samples in generative adversarial networks" (reverse KL).

    Args:
        counts: ``(modes,)``, samples of the model at each mode.
        weights: ``(modes,)``, what each mode has of the data; positive.
    """
    weights = np.asarray(weights, np.float64) / np.sum(weights, dtype=np.float64)
    if not np.any(counts):
        return float(-np.log(weights.min()))
    reached = np.asarray(counts) > 0  # a mode without samples adds nothing: q log q goes to 0
    share = np.asarray(counts, np.float64)[reached] / np.sum(counts)
    found = float(np.sum(share * np.log(share / weights[reached])))
    return max(0.0, found)  # rounding alone can bring it below
