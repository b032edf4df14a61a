"""Measurements of two sets: the values of the functions of features, with floors, intervals and flags."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import linalg
from scipy.spatial.distance import cdist

from ganrun.errors import ConfigError
from ganrun.evaluation.features import Raw
from ganrun.evaluation.measurements.base import Measurement, Sets, Settings
from ganrun.evaluation.measurements.families import evaluate, require_known

D = 3


def sets_of(n: int = 300, shift: float = 0.5, other: int | None = None, **more) -> Sets:
    rng = np.random.default_rng(0)
    reference, fake, rest = rng.normal(size=(n, D)), rng.normal(shift, 1.0, size=(n, D)), rng.normal(size=(n, D))
    given = {"fake": fake, "reference": reference, "other": rest[: other or n], "training": None, "held_out": None}
    return Sets("a", "b", **(given | {"extractor": Raw((D,)), "is_pixels": False} | more))  # type: ignore[arg-type]


def measured(sets: Sets, *metrics: str, **settings) -> dict[str, Measurement]:
    result = evaluate(sets, metrics, Settings(**settings))
    return {found.tag: found for found in result.measurements}


def precision(real, fake, k):
    radius = np.sort(cdist(real, real), axis=1)[:, k]
    return float((cdist(fake, real) < radius).any(axis=1).mean())


def frechet(real, fake):
    first, second = np.cov(real.T), np.cov(fake.T)
    root = linalg.sqrtm(first @ second)
    return float(((real.mean(0) - fake.mean(0)) ** 2).sum() + np.trace(first + second - 2 * np.real(root)))


def test_values_and_floors_are_those_of_other_implementations() -> None:
    sets = sets_of()
    found = measured(sets, "precision", "frechet", k=3)
    assert set(found) == {"precision", "frechet"}
    real, other = (np.float32(rows).astype(np.float64) for rows in (sets.reference, sets.other))
    fake = np.float32(sets.fake).astype(np.float64)
    assert found["precision"].value == pytest.approx(precision(real, fake, 3), abs=1e-9)
    assert found["precision"].floor == pytest.approx(precision(real, other, 3), abs=1e-9)
    assert found["frechet"].value == pytest.approx(frechet(real, fake), abs=1e-6)
    assert found["frechet"].floor == pytest.approx(frechet(real, other), abs=1e-6)


def test_recall_of_the_samples_is_precision_of_the_data_and_intervals_surround_the_values() -> None:
    sets = sets_of()
    found = measured(sets)
    mirrored = measured(dataclasses.replace(sets, fake=sets.reference, reference=sets.fake), "manifold")
    assert found["recall"].value == mirrored["precision"].value
    for one in found.values():
        assert one.value is not None and one.low is not None and one.high is not None
        assert one.low <= one.value <= one.high and (one.n, one.floor_n) == (300, 300)
    assert found["density"].low is not None and found["density"].low > 0


def test_a_share_of_one_has_an_interval_that_is_not_empty() -> None:
    sets = sets_of()
    found = measured(dataclasses.replace(sets, fake=sets.reference.copy()), "precision")["precision"]
    # All 300 samples are inside: Wilson's lower end is n / (n + z^2).
    assert (found.value, found.high) == (1.0, 1.0) and found.low == pytest.approx(300 / (300 + 1.96**2), abs=1e-4)


def test_what_is_below_its_sample_size_is_flagged() -> None:
    small = measured(sets_of(n=60), "manifold", "kernel")
    assert small["precision"].flags == ("n < 1000",) and small["kernel"].flags == ("n < 100",)
    assert measured(sets_of(n=1000), "precision")["precision"].flags == ()
    wide = sets_of(n=20)
    wide = dataclasses.replace(
        wide,
        extractor=Raw((D * 8,)),
        **{name: np.tile(getattr(wide, name), 8) for name in ("fake", "reference", "other")},
    )
    found = measured(wide, "frechet", "vendi")
    assert "covariances are singular" in found["frechet"].flags[0] and "n ≤ d = 24" in found["vendi"].flags[0]
    none = measured(sets_of(n=5), "precision")["precision"]
    assert none.value is None and none.flags == ("n ≤ k = 5",)


def test_a_floor_of_another_size_is_flagged_and_can_be_left_out() -> None:
    found = measured(sets_of(other=100), "mind")["mind"]
    assert found.floor_n == 100 and "floor at another n" in found.flags
    without = measured(sets_of(other=100), "mind", floor=False)["mind"]
    assert without.floor is None and "floor at another n" not in without.flags


def test_distances_of_a_classifiers_features_have_names_of_their_own() -> None:
    classifier = Raw((D,), name="classifier")
    found = measured(sets_of(extractor=classifier), "frechet", "kernel", "mind")
    assert set(found) == {"cfid", "ckid", "cmind"}
    assert set(measured(sets_of(extractor=classifier), "cmind")) == {"cmind"}


def test_few_examples_inside_make_an_interval_unstable() -> None:
    # Real examples on a circle of radius 1, so that their balls are small; nine samples are on it, the others far away.
    angle = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for on_it, flagged in ((9, True), (10, False)):
        fake = np.concatenate([circle[: 10 * on_it : 10] * 1.001, 50 + np.arange(582 - 2 * on_it).reshape(-1, 2)])
        sets = sets_of(reference=circle, fake=fake, extractor=Raw((2,)))
        found = measured(sets, "precision", "coverage", floor=False)
        assert found["precision"].value == pytest.approx(on_it / len(fake))
        assert (f"{on_it} inside < 10: unstable interval" in found["precision"].flags) is flagged
        assert not any("inside" in flag for flag in found["coverage"].flags)


def test_a_name_that_is_none_is_refused_with_the_closest() -> None:
    require_known(("precision", "cfid", "memorisation", "jsd/probe", "cas"))
    with pytest.raises(ConfigError, match=r"there is no 'precission'\. Did you mean 'precision'\? There are "):
        require_known(("precission",))


def test_families_that_do_not_apply_are_left_out_with_their_reason() -> None:
    result = evaluate(sets_of(), ("memorisation", "cas", "parzen", "exact"), Settings())
    assert result.measurements == () and set(result.left_out) == {"memorisation", "cas", "parzen", "exact"}
    assert "class-conditional" in result.left_out["cas"]


def test_a_chosen_tag_of_other_features_is_left_out_with_the_name_that_it_has_here() -> None:
    result = evaluate(sets_of(), ("fid", "ckid", "mind"), Settings())
    assert [found.tag for found in result.measurements] == ["mind"]
    assert result.left_out == {
        "fid": "with these features it is 'frechet'",
        "ckid": "with these features it is 'kernel'",
    }
