"""The arrays of a state by name, as files hold them, and the state that they make up again."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, deserialize

from ganrun.storage.checksums import Damaged

Tree = Any

PER_ARRAY = 1024  # maximum bytes per array in the header of a safetensors file
# The safetensors names of the dtypes that a state can have.
TYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64", "bool": "BOOL"}
TYPES |= {f"{sign}int{bits}": f"{sign.upper() or 'I'}{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
NAMES = {short: name for name, short in TYPES.items()}


def not_finite(arrays: dict[str, np.ndarray]) -> list[str]:
    """Return the names of the ``arrays`` that hold a NaN or Inf."""
    floats = {name: array for name, array in arrays.items() if jnp.issubdtype(array.dtype, jnp.floating)}
    return [name for name, array in floats.items() if not np.isfinite(array).all()]


def max_bytes(target: Tree) -> int:
    """Return the maximum size in bytes of a file with the arrays of ``target``."""
    leaves = named(target).values()
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves) + PER_ARRAY * (len(leaves) + 1)


def stored_arrays(content: bytes, name: str) -> dict[str, Any]:
    """Return the arrays of the safetensors file ``content`` by name: dtype, shape and bytes of each."""
    try:
        return dict(deserialize(content))
    except SafetensorError as error:
        raise Damaged(f"{name} is not a safetensors file ({error})") from error


def fitted(stored: dict[str, Any], target: Tree) -> Tree:
    """Return the arrays ``stored`` in the structure of ``target``; refuse other names, shapes and dtypes."""
    expected = named(target)
    actual = {name: (NAMES.get(array["dtype"]), *array["shape"]) for name, array in stored.items()}
    if (different := _first_difference(actual, _types(expected))) is not None:
        raise Damaged(f"it has {different[0]}, this run {different[1]}")
    arrays = {
        name: np.frombuffer(bytearray(stored[name]["data"]), leaf.dtype).reshape(leaf.shape)
        for name, leaf in expected.items()
    }
    return unflatten(target, arrays)


def difference(before: Tree, now: Tree) -> tuple[str, str] | None:
    """Return the first array, by name, in which the shapes of two states differ, described for each of them.

    Args:
        before: the shapes and dtypes of a state.
        now: those of another.

    Returns:
        None if both states have the same arrays.
    """
    return _first_difference(_types(named(before)), _types(named(now)))


def _types(arrays: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Return the dtype and the shape of each of ``arrays``."""
    return {name: (str(array.dtype), *array.shape) for name, array in arrays.items()}


def _first_difference(one: dict[str, tuple[Any, ...]], other: dict[str, tuple[Any, ...]]) -> tuple[str, str] | None:
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            return _described(name, one.get(name)), _described(name, other.get(name))
    return None


def _described(name: str, array: tuple[Any, ...] | None) -> str:
    return f"no {name}" if array is None else f"{name} of type {array[0]} and shape {array[1:]}"


def flatten(state: Tree) -> dict[str, np.ndarray]:
    """Return every array of ``state`` by its path, copied to the host, since donated buffers are about to be reused."""
    return {name: array.copy() for name, array in views(state).items()}


def views(state: Tree) -> dict[str, np.ndarray]:
    """Return every array of ``state`` by its path, on the host, without a copy where it is there already.

    They must not be used any longer once ``state`` is donated.
    """
    return {name: np.asarray(leaf, order="C") for name, leaf in named(_plain_keys(state)).items()}


def unflatten(target: Tree, arrays: dict[str, Any]) -> Tree:
    """Return ``arrays`` in the structure of ``target``, the inverse of :func:`flatten`."""
    leaves, structure = jax.tree.flatten(target)
    values = [jnp.asarray(arrays[name]) for name in named(target)]
    typed = [
        jax.random.wrap_key_data(value) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else value
        for leaf, value in zip(leaves, values, strict=True)
    ]
    return jax.tree.unflatten(structure, typed)


def _plain_keys(state: Tree) -> Tree:
    def plain(leaf: Any) -> Any:
        return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf

    return jax.tree.map(plain, state)


def named(tree: Tree) -> dict[str, Any]:
    """Return the leaves of ``tree`` by path; a PRNG key of which only the shape is known becomes that of its data."""
    named = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if isinstance(leaf, jax.ShapeDtypeStruct) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.eval_shape(jax.random.key_data, leaf)
        named[name] = leaf
    return named
