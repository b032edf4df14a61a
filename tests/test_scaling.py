"""The script that lists the communication of a step and predicts weak scaling."""

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "scaling.py"
# Lines as XLA prints them: a sum of two arrays, a gathered array, a sum of one bit, and an operation that uses a sum.
TEXT = """
  %all-reduce.1 = (f32[16,4]{1,0}, /*index=1*/f32[4]{0}) all-reduce(%a, %b), metadata={op_name="f/transpose(jvp(D))"}
  ROOT %all-gather.2 = bf16[8,2]{1,0} all-gather(%c), metadata={op_name="jit(f)/MinibatchDiscrimination_0/sub"}
  %all-reduce-start.3 = pred[] all-reduce-start(%d), metadata={op_name="jit(f)/reduce_sum"}
  %fusion = f32[16,4]{1,0} fusion(%all-reduce.1), kind=kLoop, metadata={op_name="x"}
"""


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


def test_communication_is_listed_with_its_bytes_and_its_purpose(script):
    first, second, third = script["collectives"](TEXT)
    assert (first.kind, first.bytes, first.arrays, first.parts) == ("all-reduce", 4 * 68, 2, ("gradients",))
    assert (second.kind, second.bytes, second.parts) == ("all-gather", 2 * 16, ("rows of a minibatch",))
    assert (third.kind, third.bytes, third.parts) == ("all-reduce", 1, ("metrics",))


def test_the_time_of_a_sum_is_that_of_the_formula(script):
    chip = script["Chip"]("chip", peak=1e12, near=1e9, node=4, far=1e8)
    seconds = script["all_reduce_seconds"]
    # 2 sums of 8 MB together on 4 chips: 2 x 2 x 2 messages of 1 us, and 2 x 3/4 x 8 MB at 1 GB/s.
    assert seconds(chip, 4, 2, 8e6) == pytest.approx(8e-6 + 12e-3)
    # On 8 chips, one more message each way between two nodes, and 2 x 1/2 x 8 MB / 4 at 100 MB/s.
    assert seconds(chip, 8, 2, 8e6) == pytest.approx(12e-6 + 12e-3 + 20e-3)
    # 1 GFLOP at 0.3 TFLOP/s takes 1/300 s.
    assert script["efficiency"](chip, 4, 1e9, 2, 8e6) == pytest.approx((1 / 300) / (1 / 300 + 12.008e-3))
