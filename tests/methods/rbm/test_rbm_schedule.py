"""The number of Gibbs transitions in a step, which may rise during a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_rbm import SHAPE, begun, hparams, images, small

from ganrun.datasets.sampler import Cursor
from ganrun.keys import key_for
from ganrun.methods.base import Batches, Progress
from ganrun.methods.rbm.energy import gibbs
from ganrun.methods.rbm.schedule import at


class White:
    """A source of white images."""

    def minibatch(self, key, cursor, n):
        return images(np.ones((n, np.prod(SHAPE)))), cursor


BATCHES = Batches(train=White(), held_out=White(), cursor=Cursor.start())


def progress(step):
    return Progress(step=jnp.int32(step), steps=jnp.float32(100))


# From 1 to 25 in 100 steps: 24 transitions more at the end, .24 per step.
@pytest.mark.parametrize(
    ("first", "last", "step", "wanted"),
    [
        (1, 25, 0, 1),
        (1, 25, 2, 1),  # 1 + .48
        (1, 25, 3, 2),  # 1 + .72
        (1, 25, 50, 13),
        (1, 25, 99, 25),  # 1 + 23.76
        (1, 25, 100, 25),
        (1, 25, 300, 25),
        (9, 1, 25, 7),
        (4, 4, 37, 4),
    ],
)
def test_the_number_of_transitions_is_linear_in_the_step(first, last, step, wanted):
    given = hparams(first_gibbs_steps=first, gibbs_steps=last)
    found = at(given, progress(step))
    assert found["method"]["gibbs_steps"].dtype == jnp.int32 and int(found["method"]["gibbs_steps"]) == wanted
    assert int(given["method"]["gibbs_steps"]) == last and found["optimizer"] is given["optimizer"]


@pytest.mark.parametrize(("step", "wanted"), [(0, 1), (50, 3), (99, 5)])
def test_a_step_makes_the_transitions_of_its_time(step, wanted):
    method = small()
    model, key = begun(method), jax.random.key(0)
    after, *_ = method.step(model, BATCHES, key, hparams(first_gibbs_steps=1, gibbs_steps=5), progress(step))
    ends = [
        np.asarray(gibbs(model.params, key_for(key, "chains"), model.stats["chains"], steps)[0]) for steps in range(6)
    ]
    assert [np.array_equal(after.stats["chains"], end) for end in ends] == [steps == wanted for steps in range(6)]
