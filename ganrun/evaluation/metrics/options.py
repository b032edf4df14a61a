"""Importing this module registers every metric."""

from ganrun.evaluation.metrics import diversity, exact, log_density, modes, of_samples

__all__ = ["diversity", "exact", "log_density", "modes", "of_samples"]
