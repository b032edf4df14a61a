"""When a number agrees with a claim, and what is said of it."""

import json
import math

import pytest

from ganrun.reproduce.finding import Finding, near
from ganrun.reproduce.page import FALSE, LEFT_OUT, NOT, REPRODUCED, verdict


def found(*values, low=1.0, high=3.0, **more):
    return Finding("q", "1 to 3", low, high, values, **more)


@pytest.mark.parametrize(
    ("finding", "agrees", "strictly"),
    [
        (found(2.0), True, True),
        (found(1.0), True, True),  # ends are included
        (found(3.0), True, True),
        (found(0.999), False, False),
        (found(0.5, 2.5), True, False),  # the mean agrees, its interval does not
        (found(0.5, 2.5, every_seed=True), False, False),
        (found(1.9, 2.0, 2.1), True, True),
        (found(2.0, failed=1), False, False),
        (found(), False, False),
        (found(math.nan), False, False),
        (found(1e9, high=math.inf), True, True),
    ],
)
def test_a_number_agrees_if_its_mean_or_every_seed_is_in_the_range(finding, agrees, strictly):
    assert (finding.agrees, finding.agrees_strictly) == (agrees, strictly)


def test_numbers_are_shown_with_their_interval_and_failures():
    # Two values 1 and 3: standard error 1, and t = 12.706 with one degree of freedom.
    assert found(1.0, 3.0).ours == "2 (-10.7 to 14.7)"
    assert found(0.5).ours == "0.5" and found(failed=2).ours == "none, 2 failed"
    assert near("q", 0.25, 0.01, 0.26).expected == "0.25 ± 0.01" and near("q", 0.25, 0.01, 0.259).agrees


def test_a_finding_is_stored_and_read_again_also_with_infinite_ends():
    for one in (found(1.5, claim=3, every_seed=True), found(2.0, high=math.inf), found(low=-math.inf, as_stated=True)):
        assert Finding.read(json.loads(json.dumps(one.record()))) == one


def test_a_claim_is_reproduced_false_as_stated_or_neither():
    good, bad = found(2.0), found(9.0)
    true_as_stated, false_as_stated = found(2.0, as_stated=True), found(9.0, as_stated=True)
    assert verdict([]) == LEFT_OUT
    assert verdict([good, good]) == REPRODUCED
    assert verdict([good, bad]) == NOT
    assert verdict([good, false_as_stated]) == FALSE
    assert verdict([good, true_as_stated]) == NOT  # the source is right after all
    assert verdict([bad, false_as_stated]) == NOT
