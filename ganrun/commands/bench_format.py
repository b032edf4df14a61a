"""The result of ``ganrun bench`` as text, as a Markdown table and as JSON."""

from __future__ import annotations

import json
from typing import Any

from ganrun.commands.bench_measure import Measurement
from ganrun.config.schema import to_dict
from ganrun.config.settings import Train

GIGA, MEBI = 1e9, 2**20
COLUMNS = (
    "run",
    "members",
    "compile, s",
    "steps/s (range)",
    "ms/step",
    "GFLOP/step",
    "GFLOP/s",
    "of a large product",
    "of its own size",
    "memory, MiB",
)


def describe(config: Train) -> str:
    """Return the parts of ``config`` that determine the speed most, in one line."""
    parts = (config.dataset, config.architecture, config.method, config.loss, *config.penalty)
    names = ", ".join(part.name for part in parts if part is not None)
    return f"{names}, batch_size {config.batch_size}"


def as_text(config: Train, found: Measurement) -> str:
    """Return the result as lines of a name and a value."""
    each = " per member" if found.members > 1 else ""
    low, high = _number(min(found.speeds)), _number(max(found.speeds))
    calls = f"{len(found.speeds)} calls of {found.steps_per_call} step{'s' * (found.steps_per_call > 1)}"
    rows = [
        ("run", describe(config)),
        ("device", str(found.machine["device"])),
        ("versions", _versions(found)),
        ("members", str(found.members)),
        ("compile", f"{found.compile_seconds:.2f} s, without the cache of programs"),
        ("speed", f"{_number(found.steps_per_second)} steps/s{each}, the median of {calls} ({low} to {high})"),
    ]
    if found.members > 1:
        rows.append(("together", f"{_number(found.steps_per_second * found.members)} steps/s of all members"))
    rows += [
        ("step", f"{_number(1e3 / found.steps_per_second)} ms"),
        ("work", f"{_number(found.flops / GIGA)} GFLOP per step{each} in matrix products"),
        ("rate", f"{_number(found.flops_per_second / GIGA)} GFLOP/s"),
        ("large", _product_line(found, found.large)),
        ("dominant", "the step has no matrix products" if not found.dominant else _product_line(found, found.dominant)),
        ("memory", _memory_line(found)),
    ]
    return "".join(f"{name:9} {value}\n" for name, value in rows)


def as_markdown(config: Train, found: Measurement) -> str:
    """Return the result as a table of one row, with the machine above it."""
    process, on_device = found.peak_bytes
    cells = (
        describe(config),
        str(found.members),
        f"{found.compile_seconds:.1f}",
        f"{_number(found.steps_per_second)} ({_number(min(found.speeds))} to {_number(max(found.speeds))})",
        _number(1e3 / found.steps_per_second),
        _number(found.flops / GIGA),
        _number(found.flops_per_second / GIGA),
        f"{_share(found, found.large):.0%}",
        f"{_share(found, found.dominant):.0%}" if found.dominant else "",
        f"{process / MEBI:.0f}" + (f" ({on_device / MEBI:.0f} on the device)" if on_device is not None else ""),
    )
    lines = (
        f"{found.machine['device']}; {_versions(found)}",
        "",
        _row(COLUMNS),
        _row(["---"] * len(COLUMNS)),
        _row(cells),
    )
    return "\n".join(lines) + "\n"


def as_json(config: Train, found: Measurement) -> str:
    """Return the result as one JSON object, with the whole config."""
    process, on_device = found.peak_bytes
    content: dict[str, Any] = {
        **found.machine,
        "members": found.members,
        "compile_seconds": found.compile_seconds,
        "steps_per_call": found.steps_per_call,
        "steps_per_second": found.steps_per_second,
        "steps_per_second_of_calls": found.speeds,
        "ms_per_step": 1e3 / found.steps_per_second,
        "gflop_per_step": found.flops / GIGA,
        "gflop_per_second": found.flops_per_second / GIGA,
        "large_product": _product_json(found, found.large),
        "dominant_product": _product_json(found, found.dominant) if found.dominant else None,
        "peak_memory_bytes": process,
        "peak_device_memory_bytes": on_device,
        "config": to_dict(config),
    }
    return json.dumps(content, allow_nan=False) + "\n"


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _versions(found: Measurement) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.machine["versions"].items())


def _share(found: Measurement, measured: tuple[Any, float]) -> float:
    return found.flops_per_second / measured[1]


def _product_line(found: Measurement, measured: tuple[Any, float]) -> str:
    product, speed = measured
    return f"{_share(found, measured):.0%} of the {_number(speed / GIGA)} GFLOP/s of the product {product}"


def _product_json(found: Measurement, measured: tuple[Any, float]) -> dict[str, Any]:
    product, speed = measured
    return {**product._asdict(), "gflop_per_second": speed / GIGA, "share": _share(found, measured)}


def _memory_line(found: Measurement) -> str:
    process, on_device = found.peak_bytes
    own = "" if on_device is None else f", {on_device / MEBI:.0f} MiB on the device"
    return f"{process / MEBI:.0f} MiB, the peak of the process{own}"


def _number(value: float) -> str:
    """Return ``value`` with three significant digits, and without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.2e}"
