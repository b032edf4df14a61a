"""Downloads a file from the first mirror that serves it, completely or not at all."""

from __future__ import annotations

import functools
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ganrun.errors import ConfigError

MAX = 1 << 28  # maximum bytes accepted from a mirror, for datasets that set no limit of their own
CHUNK = 1 << 16


def fetch(
    name: str,
    mirrors: Sequence[str],
    folder: Path,
    md5: str | None = None,
    timeout: float = 20,
    verify: Callable[[Path], object] | None = None,
    limit: int | None = None,
) -> Path:
    """Download ``<mirror>/<name>`` to ``folder/name`` from the first mirror that serves it; return its path.

    The file gets its final name, and ``folder`` is created, only once the file is complete and verified. A failure
    leaves nothing behind.

    Args:
        name: The file's name, at the mirror and in ``folder``.
        mirrors: Base URLs (http or https), tried in order.
        folder: Where the file goes.
        md5: The md5 (hexadecimal) that the file must have, if known.
        timeout: Seconds without a response after which to try the next mirror.
        verify: Called with the path of the downloaded file; after a ConfigError the next mirror is tried.
        limit: Maximum bytes accepted from a mirror; None: :data:`MAX`.

    Raises:
        ConfigError: No mirror served the file, or ``folder`` cannot be written to.
    """
    failures = []
    try:
        with tempfile.TemporaryDirectory(prefix=".ganrun-download-", dir=_nearest_existing(folder)) as temporary:
            for mirror in mirrors:
                reason = _attempt(mirror, Path(temporary, name), md5, timeout, verify, limit or MAX)
                if reason is None:
                    folder.mkdir(parents=True, exist_ok=True)
                    Path(temporary, name).chmod(0o644)  # pooch makes it private, but data folders are often shared
                    return Path(temporary, name).replace(folder / name)
                failures.append(f"{mirror} ({reason})")
    except OSError as error:
        raise ConfigError(f"{name} cannot be stored in {folder}: {error.strerror or error}.") from error
    raise ConfigError(f"{name} could not be downloaded: {', '.join(failures) or 'no mirrors are given'}.")


def announce(dataset: str, name: str, folder: Path) -> None:
    """Print that the file ``name`` of ``dataset`` is being downloaded into ``folder``."""
    print(f"{dataset}: downloading {name} into {folder}", file=sys.stderr)


def _attempt(
    mirror: str,
    path: Path,
    md5: str | None,
    timeout: float,
    verify: Callable[[Path], object] | None,
    limit: int,
) -> str | None:
    """Download to ``path`` from one mirror; return None, or the reason of the failure in a few words."""
    # Imported here because most runs download nothing, and both imports noticeably slow down the start.
    import pooch
    import requests

    pooch.get_logger().setLevel("CRITICAL")  # it would give advice on hashes; errors are reported by exceptions
    downloader: Any = functools.partial(_download, timeout, limit)  # pooch's own annotation is wrong
    try:
        pooch.retrieve(
            f"{mirror.rstrip('/')}/{path.name}",
            known_hash=md5 and f"md5:{md5}",
            fname=path.name,
            path=path.parent,
            downloader=downloader,
        )
        if verify is not None:
            verify(path)
    except ConfigError as error:
        path.unlink(missing_ok=True)  # pooch treats an existing file as already downloaded
        return str(error).removeprefix(f"{path}: ")
    except requests.HTTPError as error:
        return f"HTTP {error.response.status_code}" if error.response is not None else "HTTP error"
    except requests.Timeout:
        return f"no response within {timeout:g} s"
    except requests.exceptions.ChunkedEncodingError:
        return "the transfer was interrupted"
    except requests.exceptions.SSLError:
        return "no trusted TLS connection"
    except requests.ConnectionError:
        return "no connection"
    except requests.RequestException as error:
        return " ".join(str(error).split())
    except ValueError:  # pooch raises it for a wrong hash
        return f"its md5 is not {md5}" if md5 else "not a usable URL"
    return None


def _download(timeout: float, limit: int, url: str, output: str, _: object) -> None:
    import requests

    with requests.get(url, stream=True, timeout=timeout) as response, Path(output).open("wb") as file:
        response.raise_for_status()
        for chunk in response.iter_content(CHUNK):
            file.write(chunk)
            if file.tell() > limit:
                raise ConfigError(f"it sends more than {limit} bytes")


def _nearest_existing(folder: Path) -> Path:
    """Return the closest existing ancestor, on the same file system as ``folder``, so that the rename is atomic."""
    return next((parent for parent in folder.parents if parent.is_dir()), folder)
