"""Fuzzes ganrun with mutated files and command lines; any outcome other than a result or a short error is a failure.

    python scripts/fuzz.py [n=20000] [seed=0] [part=all] [only=I] [out=FILE.md]

Parts are words, yaml, idx, npz, png, pictures, archives, tables, checkpoints,
metrics and weights. Command lines are passed to ``ganrun.cli.main`` with the
actual work mocked, files to the loaders of the commands, all in this process. Every input must be accepted, or refused
in one or two lines (exit code 2, or 1 for damaged files). A traceback, a warning, another exit code or more than 10 s
is a loss: it is printed, and stored in ``fuzz-losses/PART-SEED-I``; ``only`` repeats input I of a part. Exit code 1 if
there are losses.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz_files import Files
from fuzz_runs import FILES
from fuzz_words import Words

from ganrun.errors import GanrunError, tell
from ganrun.storage.checksums import Damaged
from ganrun.training import device

SECONDS = 10  # time limit per input
MEMORY = 16 << 30  # limit of the address space, bytes
WORDS = 0.1  # share of command lines among the inputs; they take as long as all others together
COLUMNS = ("part", "tried", "accepted", "refused", "losses", "seconds")
LOSSES = Path("fuzz-losses").resolve()
FLAG = "HYDRA_FULL_ERROR"  # part of the message for an unexpected exception


class Hang(BaseException):
    """Raised on a timeout; not caught by ``except Exception``."""


@dataclass
class Tally:
    """The outcomes of the inputs of one part."""

    tried: int = 0
    accepted: int = 0
    refused: int = 0
    losses: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        own, others = vars(self), vars(other)
        return Tally(**{name: own[name] + others[name] for name in own})

    def row(self, part: str) -> str:
        """Return the line of the table."""
        cells = (part, self.tried, self.accepted, self.refused, len(self.losses), f"{self.seconds:.0f}")
        return f"| {' | '.join(map(str, cells))} |"


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """A context that raises :class:`Hang` after :data:`SECONDS`."""

    def end(*_: object) -> None:
        raise Hang(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    faulthandler.dump_traceback_later(6 * SECONDS, exit=True)  # if not even the signal is handled
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()


def refused(give: Callable[[], None]) -> bool:
    """Return whether the input of ``give`` was refused with a proper message; raise any other exception."""
    err = io.StringIO()
    try:
        with limited(), warnings.catch_warnings():
            warnings.simplefilter("error")
            give()
    except (GanrunError, Damaged) as error:
        with contextlib.redirect_stderr(err):
            tell(error if isinstance(error, GanrunError) else GanrunError(str(error)))
        require_lines(err.getvalue())
        return True
    return False


def require_lines(told: str) -> None:
    """Raise AssertionError unless ``told`` is a printable message of ganrun's in one or two lines."""
    if not told.startswith("ganrun: ") or not 1 <= told.count("\n") <= 2 or FLAG in told or "Traceback" in told:
        raise AssertionError(f"not told in a line or two: {told!r:.2000}")
    if not told.replace("\n", "").isprintable():
        raise AssertionError(f"not printable: {told!r:.2000}")


def exited(code: Any, told: str) -> bool:
    """Return whether a command line was refused, from its exit code and standard error."""
    if code == 0:
        if "Traceback" in told or FLAG in told:
            raise AssertionError(f"exit code 0 with {told!r:.2000}")
        return False
    if code not in (1, 2):
        raise AssertionError(f"exit code {code!r} with {told!r:.2000}")
    require_lines(told)
    return True


def tried(part: str, seed: int, numbers: range | list[int]) -> Tally:
    """Try the inputs of ``part`` with the given indices."""
    tally, begun = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ganrun-fuzz-") as temporary, contextlib.ExitStack() as held:
        place = Path(temporary, "a", "b", "c")  # ../ paths stay within the temporary folder
        place.mkdir(parents=True)
        own: Words | Files = held.enter_context(Words(place, exited)) if part == "words" else FILES[part](place)
        for i in numbers:
            own.make(random.Random(f"{seed}/{part}/{i}"))
            tally.tried += 1
            try:
                with limited() if part == "words" else contextlib.nullcontext():
                    bad = own.give() if isinstance(own, Words) else refused(own.give)
                tally.refused += bad
                tally.accepted += not bad
            except (Exception, Hang, SystemExit):
                tally.losses.append(kept(f"{part}-{seed}-{i}", own))
        tally.seconds = time.monotonic() - begun
    return tally


def kept(name: str, own: Words | Files) -> str:
    """Store an input that is a loss with its traceback; return the line for it."""
    why = traceback.format_exc()
    folder = LOSSES / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    own.keep(folder)
    (folder / "why.txt").write_text(why, encoding="utf-8", errors="backslashreplace")
    line = f"{name}: {why.strip().splitlines()[-1][:300]}"
    print(line, file=sys.stderr, flush=True)
    return line


def prepare() -> None:
    """Limit the memory of this process to :data:`MEMORY`, and report errors as `ganrun` does."""
    os.environ.pop(FLAG, None)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    device.prepare()


def run(n: int, seed: int = 0, part: str = "all", only: int | None = None) -> dict[str, Tally]:
    """Try ``n`` inputs, of one part or of all."""
    parts = ["words", *FILES] if part == "all" else [part]
    found = {}
    for one in parts:
        share = n if part != "all" else int(n * (WORDS if one == "words" else (1 - WORDS) / len(FILES)))
        found[one] = tried(one, seed, range(share) if only is None else [only])
        print(found[one].row(one), file=sys.stderr, flush=True)
    return found


def table(found: dict[str, Tally]) -> list[str]:
    """Return the report."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    lines += [tally.row(name) for name, tally in found.items()]
    return [*lines, sum(found.values(), Tally()).row("all")]


def main() -> int:
    """Print the table, and write it to ``out`` if given; return the exit code."""
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    n, seed, part = int(given.get("n", 20_000)), int(given.get("seed", 0)), given.get("part", "all")
    prepare()
    found = run(n, seed, part, int(given["only"]) if "only" in given else None)
    text = "\n".join([f"`python scripts/fuzz.py n={n} seed={seed} part={part}`", "", *table(found)]) + "\n"
    print(text)
    if "out" in given:
        Path(given["out"]).write_text(text, encoding="utf-8")
    return int(any(tally.losses for tally in found.values()))


if __name__ == "__main__":
    sys.exit(main())
