"""How the programs of the tests are compiled: in a hurry, since most of a test's seconds are compilation."""

import os

import jaxlib

# Of two code generators for CPUs the older one is the quicker, and two workers on two cores gain nothing by threads.
# A compiler that does not know a flag ends the process: other versions than that of constraints.txt do without.
FLAGS = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
USUAL = {"xla_cpu_use_fusion_emitters": True, "xla_cpu_parallel_codegen_split_count": 32}
KNOWN = jaxlib.__version__.startswith("0.10.")


def hurry_by_environment() -> None:
    """Set the flags of the compiler, here and for the processes that are started from here, unless they are set."""
    words = " ".join(f"--{flag}={str(value).lower()}" for flag, value in FLAGS.items())
    given = os.environ.get("XLA_FLAGS", "")
    if KNOWN and words not in given:
        os.environ["XLA_FLAGS"] = f"{words} {given}".strip()  # the last one counts


def usual_options() -> dict[str, bool | int]:
    """Return the ``compiler_options`` for a program as users have it, for tests whose numbers or bits are the point."""
    optimised = {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}
    return optimised | (USUAL if KNOWN else {})
