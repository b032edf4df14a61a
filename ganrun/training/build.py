"""Builds the experiments of runs: loads their data and chooses their devices."""

from __future__ import annotations

from collections.abc import Sequence

from ganrun import datasets
from ganrun.config.folders import data_folder
from ganrun.config.settings import Train
from ganrun.datasets.feed import device_bytes
from ganrun.mesh import ONE_DEVICE, Mesh
from ganrun.methods.experiment import Experiment
from ganrun.training import device
from ganrun.training.mesh import mesh_for


def build(config: Train, mesh: Mesh | None = None) -> Experiment:
    """Return the experiment described by ``config``, with its data loaded. Writes nothing.

    ``mesh`` are the devices; by default those that ``config`` chooses for a run by itself.
    """
    return Experiment(config, load_data(config), mesh_for(config) if mesh is None else mesh)


def load_data(config: Train) -> datasets.Data:
    """Return the data of ``config``, with the training examples where its setting ``feed`` puts them."""
    most = device_bytes(config.feed, device.free_bytes())
    return datasets.load(config.dataset, data_folder(config.data_dir), config.seed, config.conditional, most)


def build_all(configs: Sequence[Train]) -> list[Experiment]:
    """Return the experiments of ``configs``, which share a program; a finite dataset is loaded once."""
    data = load_data(configs[0])
    experiments = []
    for config in configs:
        if data.density is None:
            experiments.append(Experiment(config, datasets.reordered(data, config.seed)))
        else:
            experiments.append(build(config, ONE_DEVICE))
    return experiments
