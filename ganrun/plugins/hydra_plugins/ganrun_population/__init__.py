"""Hydra's ``hydra/launcher=population`` and ``hydra/sweeper=grid``, which `ganrun train -m` uses by default.

Hydra finds launchers and sweepers only in packages below ``hydra_plugins``.
"""

from hydra_plugins.ganrun_population.launcher import PopulationLauncher
from hydra_plugins.ganrun_population.sweeper import GridSweeper

__all__ = ["GridSweeper", "PopulationLauncher"]
