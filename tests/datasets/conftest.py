import os
import pathlib

import pytest

from ganrun.datasets.images import Mnist

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def real():
    """The folder that holds the real MNIST."""
    folders = [REPOSITORY.parent / "shared" / "datasets"]
    if os.environ.get("GANRUN_DATA"):
        folders.insert(0, pathlib.Path(os.environ["GANRUN_DATA"]))
    for folder in folders:
        if len(Mnist().find(folder)) == 2:
            return folder
    pytest.skip(f"MNIST is in none of {', '.join(map(str, folders))}")
