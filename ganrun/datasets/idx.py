"""Reads idx files, the format of MNIST and similar datasets (http://yann.lecun.com/exdb/mnist/, "file formats").

Two zero bytes, a type byte, the number of dimensions, each dimension as a big-endian 32-bit integer, then the data.
Files are untrusted, since they may be damaged or truncated: everything in them is checked before it is used.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ganrun.errors import ConfigError
from ganrun.storage.safe_io import open_file

LIMIT = 1 << 30  # maximum bytes that a header may declare: 20 times MNIST, and a bound on decompression bombs
CHUNK = 1 << 20  # bytes per read, so that a small file that declares a large array does not allocate it
GZIP_MAGIC = b"\x1f\x8b"
UINT8 = 0x08


def read_idx(path: Path) -> np.ndarray:
    """Return the uint8 array in the idx file ``path``, gzipped or plain.

    Raises:
        ConfigError: The file cannot be read, or is not exactly one complete idx file of uint8 data.
    """
    return read_idx_hashed(path)[0]


def read_idx_hashed(path: Path, limit: int = LIMIT) -> tuple[np.ndarray, str]:
    """Return the array of :func:`read_idx` and the sha256 (hexadecimal) of the decompressed file, header included.

    An array of more than ``limit`` bytes is refused before it is read.
    """
    with refusing(str(path)), open_file(path) as raw:
        if os.fstat(raw.fileno()).st_size > limit + CHUNK:
            raise ValueError(f"the file is larger than {limit} bytes")
        return read_idx_stream(raw, limit)


def read_idx_stream(raw: Any, limit: int) -> tuple[np.ndarray, str]:
    """Return the array and the sha256 of :func:`read_idx_hashed` from the open file ``raw``, which has ``peek``.

    Raises:
        ValueError, EOFError, OSError, zlib.error: the content is invalid; :func:`refusing` translates them.
    """
    # Decided by content, not by name: browsers and mirrors decompress files without renaming them.
    if raw.peek(2)[:2] != GZIP_MAGIC:
        return _parse(raw, limit)
    with gzip.GzipFile(fileobj=raw) as unpacked:
        return _parse(unpacked, limit)


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Return a context that turns the errors of damaged and missing files into a ConfigError about ``name``."""
    try:
        yield
    except EOFError:
        reason = "the gzip data is truncated"
    except (gzip.BadGzipFile, zlib.error) as error:
        reason = f"the gzip data is damaged ({error})"
    except OSError as error:
        reason = f"cannot be read ({error.strerror or error})"
    except ValueError as error:
        reason = str(error)
    else:
        return
    raise ConfigError(f"{name}: {reason}")


def _parse(stream: io.BufferedIOBase, limit: int) -> tuple[np.ndarray, str]:
    """Return the array and its sha256; raise ValueError with the reason if the content is invalid."""
    digest = hashlib.sha256()
    shape = _read_shape(stream, digest, limit)
    size = math.prod(shape)
    # Read one byte more than declared, to detect trailing bytes and to make gzip reach the end and verify its checksum.
    content = _take(stream, size + 1, digest)
    if len(content) < size:
        raise ValueError(f"truncated: the header promises {size} bytes of data and {len(content)} are there")
    if len(content) > size:
        raise ValueError(f"there are trailing bytes after the {size} that the header promises")
    return np.frombuffer(content, np.uint8).reshape(shape), digest.hexdigest()


def _read_shape(stream: io.BufferedIOBase, digest: Any, limit: int) -> tuple[int, ...]:
    magic = _take(stream, 4, digest)
    if not magic:
        raise ValueError("the file is empty")
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise ValueError(f"not an idx file (it starts with {magic.hex(' ')})")
    kind, dimensions = magic[2:]
    if kind != UINT8:
        raise ValueError(f"its idx type is 0x{kind:02x}; only 0x08 (uint8) is read")
    if not 1 <= dimensions <= 4:
        raise ValueError(f"its idx header names {dimensions} dimensions; 1 to 4 are read")
    sizes = _take(stream, 4 * dimensions, digest)
    if len(sizes) < 4 * dimensions:
        raise ValueError("truncated inside the idx header")
    shape = struct.unpack(f">{dimensions}I", sizes)
    if not 0 < math.prod(shape) <= limit:
        raise ValueError(f"its idx header promises the shape {shape}; 1 byte to {limit} bytes are read")
    return shape


def _take(stream: io.BufferedIOBase, count: int, digest: Any) -> bytearray:
    """Read the next ``count`` bytes, or fewer at the end of the stream, and add them to ``digest``."""
    content = bytearray()
    while len(content) < count and (chunk := stream.read(min(CHUNK, count - len(content)))):
        digest.update(chunk)
        content += chunk
    return content
