"""Mutated files of a run for fuzz.py, and the code of the commands that reads them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz_files import TOKENS, Files, Idx, Npz, Png, mutated
from fuzz_images import Archives, Pictures, Tables
from fuzz_weights import Weights

TINY = ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]", "batch_size=16", "probe=off")


def composed(words: tuple[str, ...]) -> Any:
    """Return the config for the overrides ``words``."""
    from ganrun.config.hydra_bridge import compose
    from ganrun.config.schema import check

    return check(compose("train", list(words)))


class Yaml(Files):
    """config.yaml of a run, as read by every command and by a resumed run."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        from ganrun.storage.run_directory import save_config

        self.good = []
        for words in (TINY, (*TINY, "penalty=[r1,r2]", "loss=least_squares"), ("experiment=dcgan",)):
            save_config(composed(words), place)
            self.good.append((place / "config.yaml").read_bytes())

    def make(self, rng: random.Random) -> None:
        content = rng.choice(self.good)
        if rng.random() < 0.5:  # a value of some key
            lines = content.split(b"\n")
            at = rng.randrange(len(lines))
            key, colon, _ = lines[at].partition(b":")
            lines[at] = key + colon + b" " + rng.choice(TOKENS)
            content = b"\n".join(lines)
        self.compares = rng.random() < 0.05
        (self.place / "config.yaml").write_bytes(mutated(content, rng) if rng.random() < 0.7 else content)

    def give(self) -> None:
        from ganrun.commands.train_resume import stored
        from ganrun.config.hydra_bridge import compose
        from ganrun.config.schema import check
        from ganrun.storage.run_directory import load_config

        config = load_config(self.place)
        if self.compares:  # Hydra must compose the same config that was checked
            again = check(compose(stored(config), []))
            if dataclasses.replace(again, resume=None) != config:
                raise AssertionError(f"Hydra reads {again}, and not {config}")


class CheckpointFiles(Files):
    """A checkpoint of a tiny run, as read by ``sample`` and by a resumed run."""

    def __init__(self, place: Path) -> None:
        super().__init__(place / "run")
        from ganrun.training.build import build
        from ganrun.training.session import RunSession

        self.config = composed(TINY)
        self.method = build(self.config)
        self.target = self.method.abstract()
        member = RunSession(self.method, self.config, self.place)
        (self.place / "metrics.jsonl").write_text('{"step": 2, "D(x)": 0.5}\n{"step": 4, "D(x)": 0.5}\n')
        snapshot = self.method.snapshot(self.method.init(), member.evaluator.samples, member.evaluator.points)
        row = {"step": 4, "scalars": {"D(x)": 0.5}, "snapshot": True}
        note = {"files": {"metrics.jsonl": 25}, "seconds": 1.5, "metrics": {"D(x)": 0.5}, "rows": [row]}
        member.checkpoints.save(4, self.method.init(), {**note, "diagnosis": member.watch.plain()}, [snapshot])
        member.checkpoints.wait()
        self.form = member._snapshot_shapes()
        member.release()
        self.good = {path.name: path.read_bytes() for path in (self.place / "checkpoints" / "4").iterdir()}

    def make(self, rng: random.Random) -> None:
        folder = self.place / "checkpoints" / "4"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        files = dict(self.good)
        for _ in range(rng.choice((1, 1, 2))):
            name = rng.choice([*self.good, "metadata.json", "metadata.json"])
            files[name] = self._bad(name, rng)
        if rng.random() < 0.1:
            files[rng.choice(("evil.pkl", "a b", "state.pickle", "metadata.json.tmp"))] = b""
        if rng.random() < 0.1:
            del files[rng.choice(list(files))]
        if rng.random() < 0.75:  # correct checksums, so that the files behind them are parsed
            files.pop("SHA256SUMS", None)
            sums = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()]
            files["SHA256SUMS"] = "".join(sums).encode()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        (self.place / "metrics.jsonl").write_text('{"step": 2, "D(x)": 0.5}\n{"step": 4, "D(x)": 0.5}\n')

    def _bad(self, name: str, rng: random.Random) -> bytes:
        content = self.good[name]
        if name == "metadata.json" and rng.random() < 0.7:
            return json.dumps(changed(json.loads(content), rng)).encode()
        if name.endswith(".safetensors") and rng.random() < 0.7:
            (size,) = struct.unpack("<Q", content[:8])
            header = mutated(content[8 : 8 + size], rng)
            return struct.pack("<Q", len(header)) + header + content[8 + size :]
        return mutated(content, rng)

    def give(self) -> None:
        from ganrun.storage.checkpoints import Checkpoints
        from ganrun.training.resume import go_back
        from ganrun.training.session import RunSession

        Checkpoints(self.place / "checkpoints", read_only=True).restore(self.target)
        member = RunSession(self.method, self.config, self.place)
        try:
            member._snapshot_shapes = lambda: self.form  # type: ignore[method-assign]
            go_back([member])
        finally:
            member.release()


def changed(node: Any, rng: random.Random) -> Any:
    """Return the JSON ``node`` with a random part replaced."""
    odd = (None, True, -1, 0.5, 10**30, 10**400, "", "x", "\x1b[2J", "../x", [], {}, [[]], {"": 0}, 1e300, float("nan"))
    if isinstance(node, dict) and node and rng.random() < 0.85:
        key = rng.choice(list(node))
        if rng.random() < 0.15:
            return {**node, rng.choice(("../x", "\n", "step", "events.out.tfevents.\x1b")): node[key]}
        if rng.random() < 0.1:
            return {one: value for one, value in node.items() if one != key}
        return {**node, key: changed(node[key], rng)}
    if isinstance(node, list) and node and rng.random() < 0.85:
        at = rng.randrange(len(node))
        return [*node[:at], changed(node[at], rng), *node[at + rng.randint(0, 1) :]]
    return rng.choice(odd)


class Metrics(Files):
    """metrics.jsonl and summary.json of a run, as read by ``compare``."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        from ganrun.storage.run_directory import save_config

        for name in ("0", "1"):
            (place / name).mkdir()
            save_config(dataclasses.replace(composed(TINY), seed=int(name)), place / name)
        tags = {"D(x)": 0.5, "D(G(z))": 0.4375, "jsd/exact": 1e-3, "kl/exact": None, "modes/covered": 8.0}
        rows = [{"step": 50 * i, **tags} for i in range(4)]
        self.rows = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
        self.summary = json.dumps({"status": "completed", "steps": 150, "metrics": tags}).encode()
        (place / "1" / "summary.json").write_bytes(self.summary)

    def make(self, rng: random.Random) -> None:
        folder, rows = self.place / "0", self.rows
        if rng.random() < 0.5:
            lines = rows.splitlines()
            at = rng.randrange(len(lines))
            lines[at] = json.dumps(changed(json.loads(lines[at]), rng)).encode()
            rows = b"\n".join(lines) + b"\n"
        (folder / "metrics.jsonl").write_bytes(mutated(rows, rng) if rng.random() < 0.6 else rows)
        (folder / "summary.json").unlink(missing_ok=True)
        if rng.random() < 0.4:
            summary = json.dumps(changed(json.loads(self.summary), rng)).encode()
            (folder / "summary.json").write_bytes(mutated(summary, rng) if rng.random() < 0.5 else summary)

    def give(self) -> None:
        from ganrun.comparison.formats import as_csv, as_json, as_markdown, as_text
        from ganrun.comparison.groups import group
        from ganrun.comparison.runs import chosen_metrics, read_runs
        from ganrun.comparison.table import compare
        from ganrun.config.settings import Train
        from ganrun.storage.run_directory import completed
        from ganrun.training.sweep_plan import reason

        completed(self.place / "0", Train())
        reason(self.place / "0")
        runs = read_runs([str(self.place / "0"), str(self.place / "1")])
        metrics = chosen_metrics([], runs)
        found = compare(group(runs, metrics), metrics)
        told = (as_text(found, 80), as_csv(found), as_json(found), as_markdown(found))
        if any("\x1b" in text for text in told):
            raise AssertionError("a table speaks to the terminal")
        for run in runs:
            run.curve(metrics[0] if metrics else "D(x)")


FILES: dict[str, Callable[[Path], Files]] = {
    "yaml": Yaml,
    "idx": Idx,
    "npz": Npz,
    "png": Png,
    "pictures": Pictures,
    "archives": Archives,
    "tables": Tables,
    "checkpoints": CheckpointFiles,
    "metrics": Metrics,
    "weights": Weights,
}
