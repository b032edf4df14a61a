"""Hydra's ``hydra/launcher=population`` and ``hydra/sweeper=grid``, which `ganrun train -m` uses by default.

Hydra takes launchers and sweepers only from packages below ``hydra_plugins``.
"""

from hydra_plugins.ganrun_population.launcher import PopulationLauncher
from hydra_plugins.ganrun_population.sweeper import GridSweeper

__all__ = ["GridSweeper", "PopulationLauncher"]
