"""What a stranger does to files, and the commands that are given them."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path

TINY = ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]", "batch_size=16", "probe=off")
SHORT = ("steps=4", "log.every=2", "log.pictures=1", "checkpoint.keep=1")
# What reads a run, and what also writes in it.
READERS = {
    "sample": ("sample", "run=stranger", "out=x.npy", "n=2"),
    "export": ("export", "run=stranger", "out=x", "formats=[safetensors]"),
    "compare": ("compare", "stranger"),
    "report": ("report", "stranger", "out=x.html"),
    "jsd": ("jsd", "ring", "stranger", "budget=0.1", "floor=false"),
    "eval": ("eval", "stranger", "n=50", "metrics=[mind]", "floor=false"),
}
RESUME = ("train", "resume=stranger", "steps=6")


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def tree(folder: Path) -> dict[str, bytes | str]:
    """Everything below ``folder``: the content of files, the kind of all else."""
    return {str(path.relative_to(folder)): _content(path) for path in sorted(folder.rglob("*"))}


def _content(path: Path) -> bytes | str:
    mode = path.lstat().st_mode
    if path.is_symlink():
        return f"link to {path.readlink()}"
    return path.read_bytes() if stat.S_ISREG(mode) else stat.filemode(mode)


def seal(folder, **files):
    """Put ``files`` into the checkpoint ``folder`` under sums that are right."""
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    names = sorted(path.name for path in folder.iterdir() if path.name != "SHA256SUMS")
    sums = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(sums))


def in_place_of(path: Path, kind: str, outside: Path) -> None:
    """Put something else where ``path`` is, or could be: a link that leads out, a pipe, a folder, a device."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"link": outside, "link to a file": outside / "file", "device": Path("/dev/zero")}[kind])


def without(text: str, key: str) -> str:
    """The YAML ``text`` less the key ``key`` at its top."""
    kept, own = [], False
    for line in text.splitlines(keepends=True):
        own = line.startswith(f"{key}:") or (own and line[0] in " -")
        kept += [] if own else [line]
    return "".join(kept)
