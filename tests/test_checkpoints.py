from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.checkpoints import Checkpoints, flatten, unflatten
from ganrun.errors import GanrunError


def state(value: float = 1.5) -> dict:
    return {
        "params": {"kernel": jnp.full((2, 3), value), "bias": jnp.zeros((3,))},
        "key": jax.random.key(7),
        "step": jnp.int32(40),
        "nothing": {},
    }


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def target() -> dict:
    return jax.eval_shape(state)


def test_a_state_comes_back_as_it_was_with_its_note(tmp_path) -> None:
    kept = Checkpoints(tmp_path / "checkpoints")
    kept.save(40, state(), {"files": {"metrics.jsonl": 12}})
    kept.wait()
    back, note = Checkpoints(tmp_path / "checkpoints").restore(target())
    assert note == {"files": {"metrics.jsonl": 12}}
    np.testing.assert_array_equal(back["params"]["kernel"], np.full((2, 3), 1.5, np.float32))
    assert int(back["step"]) == 40
    # The same key draws the same numbers: it came back typed.
    assert jax.random.uniform(back["key"]) == jax.random.uniform(jax.random.key(7))


def test_flatten_names_every_array_by_its_path() -> None:
    assert set(flatten(state())) == {"params/kernel", "params/bias", "key", "step"}


def test_flatten_copies_so_that_a_donated_buffer_may_change() -> None:
    original = np.ones(3, np.float32)
    copied = flatten({"a": original})["a"]
    original[:] = 2.0
    np.testing.assert_array_equal(copied, np.ones(3))


def test_unflatten_undoes_flatten() -> None:
    back = unflatten(target(), flatten(state()))
    np.testing.assert_array_equal(back["params"]["bias"], np.zeros(3))
    assert jax.dtypes.issubdtype(back["key"].dtype, jax.dtypes.prng_key)


def test_only_the_newest_are_kept(tmp_path) -> None:
    kept = Checkpoints(tmp_path, keep=2)
    for step in (10, 20, 30):
        kept.save(step, state(), {})
        kept.wait()
    kept.close()
    assert names(tmp_path) == ["20", "30"]
    assert Checkpoints(tmp_path).latest() == 30


def test_a_state_with_a_nan_is_not_saved_and_the_array_is_named(tmp_path) -> None:
    kept = Checkpoints(tmp_path)
    broken = state()
    broken["params"]["bias"] = jnp.array([0.0, jnp.nan, 0.0])
    with pytest.raises(GanrunError, match=r"Step 5 is not saved: params/bias holds a NaN or Inf"):
        kept.save(5, broken, {})
    assert names(tmp_path) == []


def test_what_a_kill_leaves_half_written_is_ignored_and_cleaned_up(tmp_path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(10, state(), {})
    kept.wait()
    kept.close()
    (tmp_path / "20.unfinished").mkdir()
    again = Checkpoints(tmp_path)
    assert again.latest() == 10
    again.restore(target())
    assert names(tmp_path) == ["10"]


def test_no_checkpoint_is_told(tmp_path) -> None:
    with pytest.raises(GanrunError, match="holds no complete checkpoint"):
        Checkpoints(tmp_path).restore(target())


def test_a_checkpoint_of_another_network_is_refused_in_one_line(tmp_path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(10, state(), {})
    kept.wait()
    other = target()
    other["params"]["kernel"] = jax.ShapeDtypeStruct((4, 3), jnp.float32)
    with pytest.raises(GanrunError, match="cannot be read") as refusal:
        kept.restore(other)
    assert "\n" not in str(refusal.value)
    other = target()
    other["params"]["extra"] = jax.ShapeDtypeStruct((4, 3), jnp.float32)
    with pytest.raises(GanrunError, match="cannot be read"):
        kept.restore(other)


def test_a_reader_leaves_alone_what_another_process_is_writing(tmp_path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(10, state(), {})
    kept.wait()
    kept.close()
    (tmp_path / "20.unfinished").mkdir()
    reader = Checkpoints(tmp_path, read_only=True)
    reader.restore(target())
    reader.close()
    assert names(tmp_path) == ["10", "20.unfinished"]
    assert (tmp_path / "20.unfinished").is_dir()
