import numpy as np
import pytest

from ganrun.datasets.images import ImageArrays
from ganrun.evaluation.features import cached, training


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder of classifiers; none is known from another test."""
    monkeypatch.setenv("GANRUN_CACHE", str(tmp_path / "cache"))
    cached.classifier_of.cache_clear()
    yield tmp_path / "cache" / "classifiers"
    cached.classifier_of.cache_clear()


@pytest.fixture
def brief(monkeypatch):
    """Classifiers are trained for a moment only."""
    monkeypatch.setattr(training, "FEWEST", 10)
    monkeypatch.setattr(training, "MOST", 10)


@pytest.fixture
def dots():
    """Grey 4x4 images in two classes: the bright half is the left one or the right one."""
    rng = np.random.default_rng(0)

    def split(n):
        labels = rng.integers(0, 2, n).astype(np.uint8)
        images = rng.integers(0, 60, (n, 4, 4)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[:, 2 * label : 2 * label + 2] += 180
        return images.reshape(n, 16), labels

    (train, train_labels), (held_out, held_out_labels) = split(150), split(40)
    return ImageArrays(train, held_out, (4, 4, 1), train_labels, held_out_labels)
