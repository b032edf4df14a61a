"""The process of bench_vs_pytorch.py in which PyTorch runs; it imports no JAX.

    python -m bench_pytorch.torch_worker serve|start|sweep PROBLEM VARIANT [IMAGES.npy] [RUNS STEPS]

``serve`` answers requests, one JSON object a line, on standard input; ``start`` prints a line after its first step;
``sweep`` prints a line and trains RUNS runs of STEPS steps one after another.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.utils._python_dispatch import TorchDispatchMode  # pyright: ignore[reportMissingImports]
from torch.utils.flop_counter import flop_registry  # pyright: ignore[reportMissingImports]

from bench_pytorch.problems import PROBLEMS
from bench_pytorch.torch_training import Trainer

CALL_FLOPS, MAX_PAIRS = 2e8, 16  # of a timed call of matrix products, as in ganrun


def limit_threads() -> None:
    """Use all cores, or those that the process is limited to."""
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def make(problem: str, variant: str, images: str | None) -> Trainer:
    """Return the trainer of ``problem``; ``images`` are those that ganrun trains on, saved as a file."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if variant == "graphs" and device == "cpu":
        raise RuntimeError("CUDA graphs need a GPU")
    # No TF32, as in a run of ganrun with precision=f32.
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    rows = None
    if images is not None:
        rows = torch.from_numpy(np.load(images)).permute(0, 3, 1, 2).contiguous()
    return Trainer(PROBLEMS[problem], variant, device, rows)


def steps(trainer: Trainer, n: int) -> float:
    """Take ``n`` steps; return the seconds."""
    trainer.finish()
    begun = time.perf_counter()
    for _ in range(n):
        trainer.step()
    trainer.finish()
    return time.perf_counter() - begun


class FlopCounter(TorchDispatchMode):
    """Counts the floating-point operations of matrix products and convolutions, also of second derivatives."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if (count := flop_registry.get(func._overloadpacket)) is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def flops(trainer: Trainer) -> float:
    """Return the floating-point operations of the matrix products and convolutions of one step."""
    with FlopCounter() as counter:
        trainer.step()
    return float(counter.total)


def product_speed(shape: list[int], seconds: float, device: str) -> float:
    """Return the operations per second of ``batch`` products (rows, inner) @ (inner, columns), as ganrun measures."""
    rows, inner, columns, batch = shape
    work = 2.0 * batch * rows * inner * columns
    pairs = min(MAX_PAIRS, max(1, math.ceil(CALL_FLOPS / (2 * work))))

    def matrix(height: int, width: int, scale: float) -> torch.Tensor:
        values = torch.randn(batch, height, width, device=device) * scale
        return values if batch > 1 else values[0]

    left, there, back = (
        matrix(rows, inner, 1.0),
        matrix(inner, columns, inner**-0.5),
        matrix(columns, inner, columns**-0.5),
    )

    def call() -> float:
        begun, value = time.perf_counter(), left
        for _ in range(pairs):
            value = (value @ there) @ back
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begun

    call()
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        best = min(best, call())
    return 2 * pairs * work / best


def describe(trainer: Trainer) -> dict[str, Any]:
    """Return the versions, the device, and the size and the work of the problem."""
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if trainer.device == "cuda" else "cpu",
        "parameters": trainer.parameters,
    }


def answer(trainer: Trainer, request: dict[str, Any]) -> Any:
    """Return the answer to one request."""
    match request["do"]:
        case "describe":
            return describe(trainer)
        case "flops":
            return flops(trainer)
        case "steps":
            return steps(trainer, request["n"])
        case "product":
            return product_speed(request["shape"], request["seconds"], trainer.device)
    raise ValueError(f"there is no {request['do']}")


def serve(problem: str, variant: str, images: str | None) -> None:
    """Answer requests until standard input ends."""
    trainer: Trainer | None = None
    for line in sys.stdin:
        try:
            trainer = trainer or make(problem, variant, images)
            reply: dict[str, Any] = {"answer": answer(trainer, json.loads(line))}
        except Exception as error:  # torch.compile raises anything where it does not apply
            lines = [text for text in str(error).splitlines() if text.strip()] or [type(error).__name__]
            kind = "" if type(error) is RuntimeError else f"{type(error).__name__}: "
            reply = {"error": f"{kind}{lines[0][:200]}"}
        print(json.dumps(reply), flush=True)


def main() -> None:
    """Run the mode that the command line names."""
    mode, problem, variant, *rest = sys.argv[1:]
    images = rest.pop(0) if rest and rest[0].endswith(".npy") else None
    limit_threads()
    if mode == "serve":
        serve(problem, variant, images)
    elif mode == "start":
        steps(make(problem, variant, images), 1)
        print("step", flush=True)
    else:
        runs, length = map(int, rest)
        print("step", flush=True)  # the time from here on is that of the runs
        for seed in range(runs):
            torch.manual_seed(seed)
            steps(make(problem, variant, images), length)


if __name__ == "__main__":
    main()
