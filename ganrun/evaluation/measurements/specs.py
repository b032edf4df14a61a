"""The tags of measurements of samples, with unit, direction and meaning."""

from __future__ import annotations

from ganrun.methods.metric_spec import AT_LEAST_0, SHARE, MetricSpec

MANIFOLD = (
    MetricSpec("precision", "share of samples within the neighbourhoods of real examples", "", "higher", bounds=SHARE),
    MetricSpec("recall", "share of real examples within the neighbourhoods of samples", "", "higher", bounds=SHARE),
    MetricSpec(
        "density",
        "mean number of neighbourhoods of real examples around a sample, over k",
        "",
        "higher",
        bounds=AT_LEAST_0,
    ),
    MetricSpec("coverage", "share of real examples with a sample in their neighbourhood", "", "higher", bounds=SHARE),
)
# Names of the distances with features of the classifier, and of Inception, with which FID and KID are defined.
OF_CLASSIFIER = {"frechet": "cfid", "kernel": "ckid", "mind": "cmind"}
OF_INCEPTION = {"frechet": "fid", "kernel": "kid", "mind": "mind_inception"}
MEANINGS = {
    "frechet": "squared Fréchet distance of Gaussians fitted to {}",
    "kernel": "squared maximum mean discrepancy of {}, cubic kernel; can be negative",
    "mind": "squared sliced Wasserstein distance of {}, times 3 d",
}
DISTANCES = {
    name: tuple(
        MetricSpec(tag, meaning.format(where), "", "lower", bounds=None if name == "kernel" else AT_LEAST_0)
        for tag, where in (
            (name, "pixels or coordinates"),
            (OF_CLASSIFIER[name], "the classifier's features"),
            (OF_INCEPTION[name], "features of Inception-v3"),
        )
    )
    for name, meaning in MEANINGS.items()
}
VENDI = (
    MetricSpec(
        "vendi", "effective number of different samples (Vendi score, cosine kernel)", "", "higher", bounds=AT_LEAST_0
    ),
)
COPIES = (
    MetricSpec(
        "authenticity", "AuthPct: percentage of samples that are no copies of training examples", "%", shown=("table",)
    ),
    MetricSpec(
        "data_copying", "C_T: far below 0 for copies of the training data; about 0 for new examples", shown=("table",)
    ),
    MetricSpec(
        "copy_test",
        "p-value: samples are no closer to single training examples than new data are",
        "(p)",
        shown=("table",),
    ),
    MetricSpec(
        "nearest_ratio",
        "median distance to the training data, relative to that of held-out examples",
        shown=("table",),
        bounds=AT_LEAST_0,
    ),
)
PARZEN = (MetricSpec("parzen", "log-likelihood of held-out data under Gaussian windows at samples", "nats", "higher"),)
CAS = (
    MetricSpec(
        "cas", "accuracy on held-out data of a classifier that was trained on samples", "", "higher", bounds=SHARE
    ),
)


def distance_tag(name: str, extractor: str) -> str:
    """Return the tag of the distance ``name`` of the features of the extractor of this name."""
    return {"classifier": OF_CLASSIFIER, "inception": OF_INCEPTION}.get(extractor, {}).get(name, name)
