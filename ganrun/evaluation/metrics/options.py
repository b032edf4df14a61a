"""Importing this module registers every metric."""

from ganrun.evaluation.metrics import diversity, exact, log_density, modes

__all__ = ["diversity", "exact", "log_density", "modes"]
