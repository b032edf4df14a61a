from __future__ import annotations

import struct
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.errors import GanrunError, StorageError
from ganrun.storage import checksums
from ganrun.storage.checkpoints import Checkpoints
from ganrun.storage.checksums import Damaged
from ganrun.storage.state_arrays import difference, flatten, unflatten


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


def test_what_is_damaged_is_passed_over_for_the_one_before_and_told(tmp_path) -> None:
    kept = saved(tmp_path, 10, 20, keep=3)
    (tmp_path / "20" / "metadata.json").write_text('{"step": 21}\n')
    _, note = kept.restore(target())
    assert note == {"step": 10}
    reason = "metadata.json is not as it was written (its SHA-256 differs)"
    assert kept.damaged == [f"Checkpoint {tmp_path / '20'} cannot be read: {reason}."]


def test_a_checkpoint_without_its_sums_is_damaged_and_not_overlooked(tmp_path) -> None:
    kept = saved(tmp_path, 10, 20, keep=3)
    (tmp_path / "20" / "SHA256SUMS").unlink()
    _, note = kept.restore(target())
    assert note == {"step": 10}
    assert kept.damaged == [f"Checkpoint {tmp_path / '20'} cannot be read: SHA256SUMS is missing."]
    kept.forget_after(10)
    kept.save(20, state(), {})  # its name is free
    kept.wait()
    assert kept.steps() == [10, 20]


def test_where_all_are_damaged_the_newest_is_told_and_how_many_more_there_are(tmp_path) -> None:
    kept = saved(tmp_path, 10, 20, 30, keep=3)
    for step in (10, 20, 30):
        (tmp_path / str(step) / "state.safetensors").write_bytes(b"")
    with pytest.raises(GanrunError, match=r"^Checkpoint \S+/30 cannot be read: .+\. Nor can 2 others\.$"):
        kept.restore(target())


def test_a_step_that_is_asked_for_is_read_or_refused_and_no_other_taken(tmp_path) -> None:
    kept = saved(tmp_path, 10, 20, 30, keep=3)
    assert kept.restore(target(), 20)[1] == {"step": 20}
    (tmp_path / "20" / "metadata.json").unlink()
    with pytest.raises(GanrunError, match=r"20 cannot be read: metadata\.json is missing\.$"):
        kept.restore(target(), 20)


def saved(folder: Path, *steps: int, keep: int = 2, **ratings: float | None) -> Checkpoints:
    """Checkpoints in ``folder`` of ``steps``, one after the other."""
    kept = Checkpoints(folder, keep)
    kept.ratings = {int(name.removeprefix("of_")): value for name, value in ratings.items()}
    for step in steps:
        kept.save(step, state(), {"step": step})
        kept.wait()
    return kept


TYPES = ("float32", "float16", "bfloat16", "bool", "int8", "int16", "int32", "uint8", "uint16", "uint32")


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (5,), (2, 3)], ids=str)
@pytest.mark.parametrize("dtype", TYPES)
def test_arrays_of_every_type_and_shape_come_back_to_the_bit(dtype, shape, tmp_path) -> None:
    raw = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 127, (*shape, jnp.dtype(dtype).itemsize))
    array = raw.astype(np.uint8).view(jnp.dtype(dtype)).reshape(shape)
    kept = Checkpoints(tmp_path)
    kept.save(1, {"a": array}, {})
    kept.wait()
    back, _ = kept.restore({"a": jax.ShapeDtypeStruct(shape, dtype)})
    assert (back["a"].dtype, back["a"].shape) == (jnp.dtype(dtype), shape)
    assert np.asarray(back["a"]).tobytes() == raw.astype(np.uint8).tobytes()


def test_numbers_that_are_easily_lost_come_back_to_the_bit(tmp_path) -> None:
    # Minus zero, the least number there is, and the largest.
    array = np.array([0x80000000, 0x00000001, 0x7F7FFFFF], np.uint32).view(np.float32)
    kept = Checkpoints(tmp_path)
    kept.save(1, {"a": array}, {})
    kept.wait()
    back, _ = kept.restore({"a": jax.ShapeDtypeStruct((3,), "float32")})
    assert np.asarray(back["a"]).tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_a_nan_is_found_in_every_floating_type(dtype, tmp_path) -> None:
    with pytest.raises(GanrunError, match="a holds a NaN or Inf"):
        Checkpoints(tmp_path).save(1, {"a": jnp.array([1.0, jnp.inf], dtype)}, {})


@pytest.mark.parametrize(
    ("written", "wanted"), [("float32", "int32"), ("float16", "bfloat16"), ("int32", "uint32"), ("bool", "uint8")]
)
def test_an_array_of_another_type_is_refused_though_it_is_as_large(written, wanted, tmp_path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(1, {"a": jnp.zeros(3, written)}, {})
    kept.wait()
    told = rf"it has a of type {written} and shape \(3,\), this run a of type {wanted} and shape \(3,\)"
    with pytest.raises(Damaged, match=told):
        kept.read({"a": jax.ShapeDtypeStruct((3,), wanted)}, 1)


def test_the_lowest_rating_stays_beside_the_newest(tmp_path) -> None:
    kept = saved(tmp_path, 10, 20, 30, 40, 50, of_10=0.5, of_20=0.25, of_30=0.75, of_40=0.3)
    assert names(tmp_path) == ["20", "40", "50"] and kept.best() == 20


def test_of_two_as_good_the_newer_is_the_best(tmp_path) -> None:
    assert saved(tmp_path, 10, 20, keep=3, of_10=0.25, of_20=0.25).best() == 20


def test_what_is_not_rated_yet_stays_until_it_is(tmp_path) -> None:
    kept = saved(tmp_path, 10, 20, 30, 40, keep=1, of_10=0.5, of_20=None, of_30=None)
    assert names(tmp_path) == ["10", "20", "30", "40"] and kept.best() == 10
    kept.ratings |= {20: 0.75, 30: 0.25}
    kept.close()
    assert names(tmp_path) == ["30", "40"] and kept.best() == 30


def test_a_rating_of_what_is_gone_is_no_best(tmp_path) -> None:
    kept = saved(tmp_path, 20, 30, of_10=0.1, of_20=0.5)
    assert kept.best() == 20
    assert Checkpoints(tmp_path).best() is None


def test_a_disk_that_is_full_is_told_when_it_is_waited_for_and_leaves_what_was_there(tmp_path, monkeypatch) -> None:
    kept = saved(tmp_path, 10)

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    kept.save(20, state(), {})
    with pytest.raises(StorageError, match=rf"^Cannot write {tmp_path}: No space left on device\.$"):
        kept.wait()
    assert names(tmp_path) == ["10"] and kept.restore(target())[1] == {"step": 10}


LOOK = {"logits": jax.ShapeDtypeStruct((2,), jnp.float32), "samples": jax.ShapeDtypeStruct((1, 2), jnp.float32)}


def look(value: float) -> dict:
    return {"logits": jnp.full((2,), value), "samples": jnp.full((1, 2), -value)}


def test_what_was_seen_and_not_written_comes_back_in_order(tmp_path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(1, state(), {}, [look(float(i)) for i in range(12)])  # more than have one digit
    kept.wait()
    seen = kept.read(target(), 1, lambda: LOOK).snapshots
    assert [float(one["logits"][0]) for one in seen] == list(range(12))
    assert [float(one["samples"][0, 1]) for one in seen] == [-i for i in range(12)]
    assert kept.read(target(), 1).snapshots == []  # who does not ask is given none


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-1]), Path.unlink])
def test_a_checkpoint_whose_looks_are_damaged_is_damaged(damage, tmp_path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(1, state(), {}, [look(1.0)])
    kept.wait()
    damage(tmp_path / "1" / "snapshots.safetensors")
    with pytest.raises(Damaged, match=r"^snapshots\.safetensors is "):
        kept.read(target(), 1, lambda: LOOK)


def test_looks_of_another_form_are_refused(tmp_path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(1, state(), {}, [look(1.0)])
    kept.wait()
    with pytest.raises(Damaged, match=r"it has no extra, this run extra of type float32"):
        kept.read(target(), 1, lambda: LOOK | {"extra": jax.ShapeDtypeStruct((), jnp.float32)})


ONE = {"a": jax.ShapeDtypeStruct((2,), jnp.float32)}


def tensors(header: str | bytes, data: bytes = bytes(8), length: int | None = None) -> bytes:
    """A safetensors file: the length of its header, the header, the bytes of its arrays."""
    text = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: str = "F32", shape: str = "[2]", offsets: str = "[0, 8]") -> str:
    return f'"a": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": {offsets}}}'


def test_a_safetensors_file_made_by_hand_is_read(tmp_path) -> None:
    forged(tmp_path, tensors(f"{{{entry()}}}", struct.pack("<2f", 1.0, -2.0)))
    np.testing.assert_array_equal(Checkpoints(tmp_path).read(ONE, 1).state["a"], [1.0, -2.0])


def forged(folder: Path, content: bytes, note: bytes = b"{}") -> None:
    checksums.write(folder / "1", {"state.safetensors": content, "metadata.json": note})


@pytest.mark.parametrize(
    "content",
    {
        "nothing": b"",
        "half a length": b"\x10\0\0",
        "a length of no header": tensors("", b"", 2**63),
        "a length beyond the file": tensors(f"{{{entry()}}}", length=4096),
        "no JSON": tensors("{"),
        "no text": tensors(b"\xff\xfe{}"),
        "a list": tensors("[]"),
        "deep": tensors("[" * 1000),
        "no arrays": tensors("{}", b""),
        "another name": tensors(f"{{{entry()}}}".replace('"a"', '"b"')),
        "a name twice": tensors(f"{{{entry()}, {entry(offsets='[8, 16]')}}}", bytes(16)),
        "an array more": tensors(f"{{{entry()}, {entry(offsets='[8, 16]')}}}".replace('"a"', '"b"', 1), bytes(16)),
        "offsets beyond the file": tensors(f"{{{entry(offsets='[0, 16]')}}}"),
        "offsets that begin beyond the file": tensors(f"{{{entry(offsets='[80, 88]')}}}"),
        "offsets the wrong way": tensors(f"{{{entry(offsets='[8, 0]')}}}"),
        "offsets below zero": tensors(f"{{{entry(offsets='[-8, 0]')}}}"),
        "offsets that are huge": tensors(f"{{{entry(offsets='[0, 18446744073709551615]')}}}"),
        "bytes that belong to nothing": tensors(f"{{{entry()}}}", bytes(9)),
        "bytes that are missing": tensors(f"{{{entry()}}}", bytes(7)),
        "a shape that does not fit the bytes": tensors(f"{{{entry(shape='[3]')}}}"),
        "a shape whose size overflows": tensors(f"{{{entry(shape='[4611686018427387904, 8]')}}}"),
        "a shape below zero": tensors(f"{{{entry(shape='[-2]')}}}"),
        "another shape": tensors(f"{{{entry(shape='[1, 2]')}}}"),
        "another type": tensors(f"{{{entry(dtype='I32')}}}"),
        "an unknown type": tensors(f"{{{entry(dtype='F128')}}}"),
        "a type that no state has": tensors(f"{{{entry(dtype='F8_E4M3', shape='[8]')}}}"),
        "more bytes than the state has": bytes(1 << 16),
    }.items(),
    ids=lambda case: case[0],
)
def test_a_state_that_is_none_is_damaged_though_its_sum_is_right(content, tmp_path) -> None:
    forged(tmp_path, content[1])
    with pytest.raises(Damaged):
        Checkpoints(tmp_path).read(ONE, 1)


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b"\xff", b"null", b"[" * 100_000, b"9" * 5000], ids=repr)
def test_a_note_that_is_none_is_damaged_though_its_sum_is_right(note, tmp_path) -> None:
    forged(tmp_path, tensors(f"{{{entry()}}}"), note)
    with pytest.raises(Damaged, match=r"metadata\.json"):
        Checkpoints(tmp_path).read(ONE, 1)


@pytest.mark.parametrize("name", ["state.safetensors", "metadata.json"])
def test_a_checkpoint_without_a_file_that_its_sums_do_not_name_either_is_damaged(name, tmp_path) -> None:
    files = {"state.safetensors": tensors(f"{{{entry()}}}"), "metadata.json": b"{}"}
    checksums.write(tmp_path / "1", {kept: content for kept, content in files.items() if kept != name})
    with pytest.raises(Damaged, match=f"{name} is missing"):
        Checkpoints(tmp_path).read(ONE, 1)


def test_the_first_array_in_which_two_states_differ_is_described_for_both() -> None:
    other = {**target(), "params": {"kernel": jax.ShapeDtypeStruct((2, 4), jnp.float32)}}
    assert difference(target(), other) == ("params/bias of type float32 and shape (3,)", "no params/bias")
    other["params"]["bias"] = jax.ShapeDtypeStruct((3,), jnp.float32)
    wanted = tuple(f"params/kernel of type float32 and shape (2, {n})" for n in (3, 4))
    assert difference(target(), other) == wanted
    assert difference(target(), target()) is None
