"""The speed of training, from calls whose times are given."""

import numpy as np
import pytest

from ganrun.methods.run_state import Report
from ganrun.training.pace import CALL_SECONDS, Call, Pace

NO_REPORT = Report(means=np.zeros(0), bad_step=np.zeros(()), bad_tag=np.zeros(()))


def call(step, n, begun):
    return Call(step, n, begun, NO_REPORT, None)


def test_the_first_call_does_not_count():
    pace = Pace(now=100.0)
    assert pace.call_size(50) == 1
    pace.end(call(1, 1, begun=100.0), now=110.0)  # compiles for ten seconds
    assert (pace.per_step, pace.calls) == (CALL_SECONDS, 1)
    assert pace.rate(1, now=110.0) == pytest.approx(1 / 10)
    # Dispatched before the first call was done: it took 110 to 112.
    pace.end(call(5, 4, begun=101.0), now=112.0)
    assert pace.per_step == pytest.approx(0.5)


def test_calls_last_a_quarter_of_a_second():
    pace = Pace(now=0.0)
    pace.end(call(1, 1, begun=0.0), now=1.0)
    pace.end(call(5, 4, begun=1.0), now=1.125)
    assert pace.per_step == 0.125 / 4
    assert pace.call_size(100) == 8 and pace.call_size(7) == 7


def test_the_rate_is_that_of_the_latest_rows():
    pace = Pace(now=0.0)
    pace.end(call(1, 1, begun=0.0), now=1.0)
    pace.end(call(101, 100, begun=1.0), now=2.0)
    rates = [pace.rate(101 + 100 * i, now=2.0 + i) for i in range(9)]
    assert rates == pytest.approx([100.0] * 9)
    # The oldest of ten rows is dropped: from step 101 at 2 s, and from step 201 at 3 s.
    assert pace.rate(1001, now=20.0) == pytest.approx(900 / 18)
    assert pace.rate(1101, now=23.0) == pytest.approx(900 / 20)
