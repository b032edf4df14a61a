"""Reads arrays of numbers from untrusted .npy and .npz files.

Nothing in a file is executed, and nothing is used before it is validated: the header is parsed separately, the size it
declares is compared with the file's, and only plain numeric types are accepted.
"""

from __future__ import annotations

import io
import math
import os
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from ganrun.errors import ConfigError, did_you_mean, shown
from ganrun.storage.safe_io import open_file

SUFFIXES = (".npy", ".npz")
LIMIT = 8 << 30  # maximum bytes of an array after conversion to float: more samples cannot be compared here
MAX_COMPRESSION = 100  # maximum ratio of unpacked to packed size, for arrays of more than
UNQUESTIONED = 1 << 28  # bytes
HEADER = 1 << 14  # maximum bytes of a header (type and shape); numpy's own limit is 10 000 characters
CHUNK = 1 << 20  # bytes per read: a header that declares a false size does not allocate that much memory
HALF_RANGES = {"uint8": 127.5, "uint16": 32767.5}  # half of the largest pixel of each type; 0 is black
SAMPLES = "samples"  # the array that is read of several, if one has this name
MAGIC = b"\x93NUMPY"
ZIP_MAGIC = b"PK"
KINDS = {"b": "true and false", "c": "complex numbers", "S": "text", "U": "text", "M": "dates", "m": "times"}
# Exceptions that numpy, Python's parser and zipfile raise on malformed bytes.
MISREAD = (ValueError, TypeError, LookupError, AttributeError, SyntaxError, OverflowError, tokenize.TokenError)
UNREADABLE = (*MISREAD, RuntimeError, MemoryError, EOFError, struct.error, zlib.error)


@dataclass(frozen=True)
class Header:
    """The header of an array; ``start`` is the byte offset of its data."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    start: int

    @property
    def size(self) -> int:
        """Bytes of the numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


class _RefusedError(Exception):
    """The reason why an array is refused: the second half of the error message."""


def read_array(path: Path, key: str | None = None) -> np.ndarray:
    """Return the array in ``path`` with its stored type, in native byte order and C order.

    Args:
        path: an .npy file, or an .npz archive.
        key: the name of the array in the archive; optional if there is only one, or one that is called ``samples``.

    Raises:
        ConfigError: in one line, the file is missing, damaged, too large, or holds anything other than numbers.
    """
    with _as_config_error(path, key):
        if path.suffix.lower() == ".npz":
            with _opened(path) as file, zipfile.ZipFile(file) as archive:
                member = _choose(archive, path, key)
                with archive.open(member) as stream:
                    return _read(stream, _header(stream), member.file_size)
        with _opened(path) as stream:
            return _read(stream, _header(stream), path.stat().st_size)


def map_array(path: Path) -> np.ndarray | None:
    """Return the array in the .npy file ``path`` mapped into memory, read-only; None if it has to be converted.

    Its rows are read when they are used, so that it may be larger than the memory. Arrays in another byte order or in
    Fortran order are not mapped. The file must not be changed while the array is in use.

    Raises:
        ConfigError: as :func:`read_array`, but there is no limit to the size.
    """
    with _as_config_error(path, None), _opened(path) as stream:
        header = _header(stream)
        _require_plain(header, path.stat().st_size, limited=False)
        if (header.fortran and len(header.shape) > 1) or not header.dtype.isnative:
            return None
        return np.memmap(path, header.dtype, "r", header.start, header.shape)


def require_array(path: Path, key: str | None = None) -> None:
    """Raise the errors of :func:`read_array` that the headers reveal, without reading the data."""
    with _as_config_error(path, key):
        if path.suffix.lower() == ".npz":
            with _opened(path) as file, zipfile.ZipFile(file) as archive:
                member = _choose(archive, path, key)
                with archive.open(member) as stream:
                    _require_plain(_header(stream), member.file_size)
            return
        with _opened(path) as stream:
            _require_plain(_header(stream), path.stat().st_size)


@contextmanager
def _as_config_error(path: Path, key: str | None) -> Iterator[None]:
    """Convert any error inside the context into a one-line ConfigError about ``path``."""
    name = shown(str(path)) + (f", array '{shown(key)}'" if key and path.suffix.lower() == ".npz" else "")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy and Python's parser warn about malformed headers
            yield
    except _RefusedError as error:
        raise ConfigError(f"{name}: {error}" + ("" if str(error)[-1] in ".?" else ".")) from None
    except zipfile.BadZipFile as error:
        raise ConfigError(f"{name}: {_not_zip(path, error)}.") from error
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read ({error.strerror or error}).") from error
    except UNREADABLE as error:
        reason = "it does not fit in memory" if isinstance(error, MemoryError) else "the file is damaged"
        raise ConfigError(f"{name}: {reason} ({shown(str(error).strip() or type(error).__name__)}).") from error


def _opened(path: Path) -> IO[bytes]:
    if path.exists() and not path.is_file():
        raise _RefusedError("not a file")
    file = open_file(path)
    if os.fstat(file.fileno()).st_size == 0:
        file.close()
        raise _RefusedError("the file is empty")
    return file


def _not_zip(path: Path, error: zipfile.BadZipFile) -> str:
    with path.open("rb") as file:
        start = file.read(len(MAGIC))
    if start == MAGIC:
        return "not an .npz archive but a single array: name it .npy"
    if start[:2] == ZIP_MAGIC:
        return f"the archive is damaged or truncated ({shown(str(error))})"
    return f"not an .npz archive (it starts with {start.hex(' ')})"


def _choose(archive: zipfile.ZipFile, path: Path, key: str | None) -> zipfile.ZipInfo:
    """Return the archive member named ``key``, or the only one, or that of the samples that ganrun has written."""
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist() if info.filename[-4:] == ".npy"}
    if not members:
        raise _RefusedError("the archive holds no array")
    if key is None and len(members) > 1 and SAMPLES in members:
        key = SAMPLES
    if key is None and len(members) > 1:
        raise _RefusedError(f"which array? Choose with key=NAME: it has {_listed(archive, members)}")
    if key is not None and key not in members:
        guess = did_you_mean(key, members)
        raise _RefusedError(f"there is no such array.{guess} It has {_listed(archive, members)}")
    member = members[key] if key is not None else next(iter(members.values()))
    _require_supported(member)
    if member.file_size > LIMIT + HEADER:
        raise _RefusedError(f"it would unpack to {_gib(member.file_size)}; at most {_gib(LIMIT)} are read")
    if member.file_size > max(UNQUESTIONED, MAX_COMPRESSION * path.stat().st_size):
        raise _RefusedError(f"it would unpack to {_gib(member.file_size)} from {path.stat().st_size} bytes: no samples")
    return member


def _require_supported(member: zipfile.ZipInfo) -> None:
    if member.flag_bits & 1:
        raise _RefusedError("the archive is encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _RefusedError("the archive is packed in a way that numpy does not write")


def _listed(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> str:
    """Return names and shapes of the first members as text."""
    names = []
    for name in list(members)[:12]:
        try:
            _require_supported(members[name])
            with archive.open(members[name]) as stream:
                shape = " x ".join(map(str, _header(stream).shape)) or "one number"
        except (_RefusedError, zipfile.BadZipFile, OSError, *UNREADABLE):
            shape = "unreadable"
        names.append(f"{shown(name)} ({shape})")
    return ", ".join(names) + (f" and {len(members) - 12} more" if len(members) > 12 else "")


def _header(stream: IO[bytes]) -> Header:
    """Read and validate the header at the start of ``stream``."""
    magic = stream.read(len(MAGIC))
    if magic != MAGIC:
        raise _RefusedError(_not_npy(magic))
    version = stream.read(2)
    if len(version) < 2:
        raise _RefusedError("truncated inside its header")
    if version[0] not in (1, 2):  # version 3 exists for non-ASCII field names
        raise _RefusedError(f"its .npy format {version[0]}.{version[1]} holds no plain array")
    layout = "<H" if version[0] == 1 else "<I"
    prefix = stream.read(struct.calcsize(layout))
    if len(prefix) < struct.calcsize(layout):
        raise _RefusedError("truncated inside its header")
    (length,) = struct.unpack(layout, prefix)
    if length > HEADER:
        raise _RefusedError(f"its header of {length} bytes is not that of a plain array")
    text = stream.read(length)
    if len(text) < length:
        raise _RefusedError("truncated inside its header")
    return _parse(prefix + text, version[0], len(MAGIC) + 2 + len(prefix) + length)


def _parse(block: bytes, version: int, start: int) -> Header:
    reader = np.lib.format.read_array_header_1_0 if version == 1 else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = reader(io.BytesIO(block))
    except UNREADABLE as error:
        raise _RefusedError("its header cannot be understood") from error
    if any(size < 0 for size in shape):
        raise _RefusedError(f"its header promises the shape {shown(str(shape))}")
    return Header(tuple(int(size) for size in shape), dtype, bool(fortran), start)


def _not_npy(start: bytes) -> str:
    if start[:2] == ZIP_MAGIC:
        return "not an .npy file but an archive: name it .npz"
    if start[:1] == b"\x80":
        return "a pickle, which could run anything and is never loaded: save plain numbers with numpy.save"
    return f"not an .npy file (it starts with {start.hex(' ') or 'nothing'})"


def _require_plain(header: Header, length: int, limited: bool = True) -> None:
    """Refuse anything but one complete numeric array.

    Args:
        header: its header.
        length: of the whole file in bytes, header included.
        limited: whether to refuse arrays of more than :data:`LIMIT` bytes after conversion to float.
    """
    dtype, shape, shape_text = header.dtype, header.shape, shown(str(header.shape))
    if dtype.hasobject:
        raise _RefusedError("holds Python objects, which are never loaded: save plain numbers with numpy.save")
    if dtype.names or dtype.subdtype:
        raise _RefusedError("holds records with named fields; only plain arrays of numbers are read")
    if dtype.kind not in "iuf":
        raise _RefusedError(f"holds {KINDS.get(dtype.kind, 'raw bytes')} ({dtype}); only real numbers are read")
    if not shape:
        raise _RefusedError("holds a single number; an array of samples is needed")
    if math.prod(shape) == 0:
        raise _RefusedError(f"the array is empty: its shape is {shape_text}")
    largest = math.prod(shape) * max(dtype.itemsize, float_type(dtype).itemsize)
    if limited and largest > LIMIT:
        raise _RefusedError(
            f"its header promises {_gib(largest)} of numbers {shape_text}; at most {_gib(LIMIT)} are read"
        )
    available = length - header.start
    if available != header.size:
        what = "truncated" if available < header.size else "more than one array"
        raise _RefusedError(f"{what}: its header promises {header.size} bytes {shape_text} and {available} are there")


def _read(stream: IO[bytes], header: Header, length: int) -> np.ndarray:
    _require_plain(header, length)
    content = bytearray()
    while len(content) < header.size and (chunk := stream.read(min(CHUNK, header.size - len(content)))):
        content += chunk
    # Reading one more byte makes zipfile reach the member's end and verify its checksum.
    if len(content) < header.size or stream.read(1):
        raise _RefusedError(f"truncated: its header promises {header.size} bytes and {len(content)} are there")
    flat = np.frombuffer(content, header.dtype)
    array = flat.reshape(header.shape, order="F" if header.fortran else "C")
    return np.ascontiguousarray(array, header.dtype.newbyteorder("="))


def float_type(dtype: np.dtype) -> np.dtype:
    """Return the float type for numbers of ``dtype``: float32 if it represents all of them exactly, else float64."""
    widest = 4 if dtype.kind == "f" else 2
    return np.dtype(np.float32 if dtype.itemsize <= widest else np.float64)


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size < 1 << 50 else "more than a million GiB"
