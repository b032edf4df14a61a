"""What a search varies: the sweeps of the command line as distributions of Optuna."""

# No `from __future__ import annotations` here: Hydra needs the types of a plugin's module unquoted.
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from ganrun.config.values import is_whole
from ganrun.errors import ConfigError


def distribution(optuna: Any, override: Override) -> Any:
    """Return the Optuna distribution of a sweep: a,b,c; range(1,9); interval(0.1,1); tag(log,interval(...))."""
    sweep: Any = override.value()
    log = "log" in getattr(sweep, "tags", ())
    if isinstance(sweep, IntervalSweep):
        start, end = sweep.start, sweep.end
        if "int" in sweep.tags and is_whole(start) and is_whole(end):
            return optuna.distributions.IntDistribution(int(start), int(end), log=log)
        return optuna.distributions.FloatDistribution(start, end, log=log)
    if isinstance(sweep, RangeSweep) and is_whole(sweep.start) and is_whole(sweep.stop) and is_whole(sweep.step):
        start, stop, step = int(sweep.start), int(sweep.stop), int(sweep.step)
        return optuna.distributions.IntDistribution(start, stop - 1, step=1 if log else step, log=log)
    if isinstance(sweep, (ChoiceSweep, RangeSweep)):
        return optuna.distributions.CategoricalDistribution(list(override.sweep_string_iterator()))
    raise ConfigError(f"a search cannot vary {override.get_key_element()} by a pattern: list the values.")
