"""Random command lines for fuzz.py, and ganrun's entry point with the actual work mocked."""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from fuzz_runs import TINY, composed

PLAIN = """
0 1 -1 0.5 1e999 nan -inf 0x10 1_000 1e-400 1:30 007 null true off '' "" ' " [] [1,2] [[1],[2]] {} {a:1} [ } { ] ( )
{a:{b:[1]}} ${seed} ${nothing} ${oc.env:HOME} ${oc.env:NOTHING} ${ $ \\${x} ${hydra:runtime.cwd} a,b 1,2,3 ,, a, [a,
range(0,3) range(3) range(0,3,0) interval(0,1) choice(1,2) choice() glob(*) sort(3,1) shuffle(1,2) f(x) range(a) int(x)
range(0,9999999999) range(3,0) shuffle(range(0,1e9)) '~nobody/x'
tag(a,1,2) int(3) str(1) json_str(1) extend_list(1) ../x ~ ~nobody/x = a=b ? ??? - -- # é ∞ \udcff \u202e \\ @ a@b a/b
minimax ring mnist digits mlp dcgan latest stranger broken good.npy bad.npy two.npz x.png missing . .. outputs pipe.npy
"""
VALUES = (*PLAIN.split(), " ", "  a", "a b", "\n", "\t", "\x1b[2J", 400 * "9", 5000 * "9", 300 * "x", 5000 * "x")
VALUES += (60 * "[" + 60 * "]", 600 * "[" + 600 * "]", 300 * "{a:", f"[{200 * '8,'}8]")
PLACES = ("out", "out2", "a/b", "${now:%Y}", "outputs/x")  # output paths: always within the folder
ENDS = ("", ".png", ".npy", ".npz")
OPTIONS = """
-m --multirun --cfg --cfg=job -c=all --info --info=config -i --help -h --hydra-help --version --resolve -p --run -- -
--package=loss --config-name --config-name=train -cn nope --config-dir=. --config-dir=stranger -cd --config-path=. -x
--no-such --- --experimental-rerun=good.npy -sc --shell-completion --cf --config-dir=missing --cfg=hydra -p=stranger
"""
FLAGS = (*OPTIONS.split(), "-sc install=bash", "--cfg job")
KEYS = {
    "sample": (
        "run",
        "n",
        "seed",
        "out",
        "average",
        "checkpoint",
        "label",
        "mode",
        "steps",
        "project",
        "key",
        "starts",
    ),
    "compare": ("paths", "metrics", "level", "interval", "correction", "unfinished", "format", "out", "picture"),
    "jsd": ("a", "b", "method", "key", "key_b", "n", "seed", "budget", "floor", "format", "average", "data_dir"),
    "eval": (
        "run",
        "samples",
        "reference",
        "training",
        "metrics",
        "n",
        "features",
        "k",
        "split",
        "seed",
        "floor",
        "out",
        "format",
    ),
    "bench": ("members", "seconds", "format", "out", "seed", "batch_size", "dataset", "architecture", "resume"),
    "list": (),
    "train": (),
}
BARE = {
    "sample": ("run=stranger",),
    "compare": ("stranger", "outputs", "broken", "latest"),
    "jsd": ("ring", "good.npy", "stranger", "two.npz", "bad.npy", "digits", "pipe.npy"),
    "eval": ("stranger", "latest", "good.npy", "ring", "bad.npy", "metrics=[mind]", "n=20"),
    "bench": ("loss=minimax", "architecture=dcgan", "experiment=ring", "format=json"),
    "list": ("losses", "loss", "datasets", "nothing", "--help"),
    "train": ("loss=minimax", "dataset=digits", "architecture=dcgan", "resume=stranger", "steps=1", "experiment=ring"),
}
WRITTEN = ("out", "picture", "hydra.run.dir", "hydra.sweep.dir")  # keys that name outputs


class Words:
    """Command lines in the folder ``place``; ``refused`` classifies an exit code and standard error."""

    def __init__(self, place: Path, refused: Callable[[Any, str], bool]) -> None:
        self.place, self.refused = place, refused
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Words:
        self._fill()
        keys = list(_paths({**_plain("train"), "hydra": {"run": {"dir": ""}, "sweep": {"dir": ""}, "job": {"num": 0}}}))
        self.keys = {**KEYS, "train": tuple(keys)}
        self._held.enter_context(contextlib.chdir(self.place))
        self._held.enter_context(mock.patch.dict(os.environ, {"COLUMNS": "80"}))
        self._held.enter_context(mock.patch("ganrun.datasets.download.fetch", _no_network))
        for command in ("train", "sample", "eval", "jsd", "bench"):
            module = __import__(f"ganrun.commands.{command}", fromlist=["hand_over"])
            self._held.enter_context(mock.patch.object(module, "hand_over", _without_work(module.hand_over)))
        train_jobs = __import__("ganrun.commands.train_jobs", fromlist=["run_jobs"])
        self._held.enter_context(mock.patch.object(train_jobs, "run_jobs", lambda given, *_, **__: [0] * len(given)))
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def _fill(self) -> None:
        """Write runs and files for command lines to name."""
        from ganrun.storage.run_directory import save_config

        for name in ("stranger", "outputs/2026-01-31/run"):
            (self.place / name).mkdir(parents=True)
            save_config(composed(TINY), self.place / name)
            (self.place / name / "metrics.jsonl").write_text('{"step": 0, "jsd/exact": 0.5}\n')
        (self.place / "broken").mkdir()
        (self.place / "broken" / "config.yaml").write_text("seed: [")
        np.save(self.place / "good.npy", np.random.default_rng(0).normal(size=(120, 2)))
        np.savez(self.place / "two.npz", x=np.zeros((120, 2)), y=np.ones((120, 2)))
        (self.place / "bad.npy").write_bytes(b"\x80\x04cos\nsystem\n.")
        os.mkfifo(self.place / "pipe.npy")

    def make(self, rng: random.Random) -> None:
        command = rng.choice(list(self.keys))
        words = [rng.choice(BARE[command]) for _ in range(rng.choice((0, 1, 1, 2)))]
        words += [self._setting(command, rng) for _ in range(rng.choice((0, 1, 1, 1, 2, 3)))]
        words += [rng.choice(FLAGS) for _ in range(rng.choice((0, 0, 0, 1, 1, 2)))]
        words += ["-m"] if command == "train" and rng.random() < 0.2 else []
        rng.shuffle(words)
        words = [_shaken(word, rng) if rng.random() < 0.15 else word for word in words]
        self.words = [command if rng.random() < 0.97 else _shaken(command, rng), *words]

    def _setting(self, command: str, rng: random.Random) -> str:
        keys = self.keys[command] or ("anything",)
        key = rng.choice(keys)
        if key in WRITTEN:
            return f"{key}={rng.choice(PLACES)}{rng.choice(ENDS)}"
        key = rng.choice((key, key, key, key, f"+{key}", f"++{key}", f"~{key}", f"{key}.x", f"{key}@a", key[:-1], ""))
        return f"{key}={rng.choice(VALUES)}" if rng.random() < 0.95 else key

    def give(self) -> bool:
        """Run the command line; return whether it was refused."""
        from ganrun.cli import main

        out, err = io.StringIO(), io.StringIO()
        code: Any = None
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main(list(self.words))
        except SystemExit as leaving:
            code = leaving.code
        return self.refused(code, err.getvalue())

    def keep(self, folder: Path) -> None:
        """Write the command line to ``folder``."""
        (folder / "words.txt").write_text(f"{self.words!r}\n", encoding="utf-8", errors="backslashreplace")


def _shaken(word: str, rng: random.Random) -> str:
    """Return ``word`` with a character removed, doubled or replaced; paths are unchanged, so outputs stay inside."""
    if not word or re.search(r"[/~]|dir|out|picture", word):
        return word
    at = rng.randrange(len(word))
    return word[:at] + rng.choice(("", word[at] * 2, rng.choice("=,[]{}()'\"$:.@!-+ \\%é"))) + word[at + 1 :]


def _without_work(hand_over: Callable[..., int]) -> Callable[..., int]:
    """Return ``hand_over``, the Hydra part of a command, with jobs that do nothing."""

    def handed_over(name: str, config_name: str, arguments: Any, job: Any, together: Any = None, **more: Any) -> int:
        idle = None if together is None else lambda jobs, folder, **_: [0] * len(jobs)
        return hand_over(name, config_name, arguments, lambda config: 0, idle, **more)

    return handed_over


def _no_network(name: str, *_: object, **__: object) -> None:
    from ganrun.errors import ConfigError

    raise ConfigError(f"{name} is not fetched here")


def _plain(name: str) -> dict[str, Any]:
    from ganrun.config.hydra_bridge import compose

    return compose(name, [])


def _paths(node: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in node.items():
        found.append(f"{prefix}{key}")
        found += _paths(value, f"{prefix}{key}.") if isinstance(value, dict) else []
    return found
