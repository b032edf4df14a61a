"""Classifiers in the cache: trained once, verified when they are read, and trained again if they are damaged."""

import dataclasses
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ganrun.datasets.images import Digits, StackedMnist
from ganrun.datasets.synthetic import Ring
from ganrun.errors import ConfigError
from ganrun.evaluation.features import Classifier, PerChannel, Raw, cached, extractor
from ganrun.evaluation.features.cached import WEIGHTS, key_of, stored_or_trained, why_no_classifier


def never(*_):
    raise AssertionError("the classifier is trained again")


def folder_of(cache):
    (folder,) = (path for path in cache.iterdir() if path.is_dir())
    return folder


@pytest.fixture
def stored(brief, dots, cache, capsys):
    """A classifier and its folder."""
    classifier = stored_or_trained(dots, 2, "dots")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "dots: training the classifier whose features are used"
    assert lines[1].startswith("dots: ") and str(folder_of(cache)) in lines[1] and len(lines) == 2
    return classifier, folder_of(cache)


def test_it_is_trained_once_and_has_the_checksum_of_its_file(stored, dots, monkeypatch, capsys):
    classifier, folder = stored
    monkeypatch.setattr(cached, "train_classifier", never)
    again = stored_or_trained(dots, 2, "dots")
    assert capsys.readouterr().err == ""
    assert again.checksum == classifier.checksum == hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    assert (again.accuracy, again.held_out) == (classifier.accuracy, 40)
    np.testing.assert_array_equal(again.features(dots.held_out), classifier.features(dots.held_out))
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["shape"] == [4, 4, 1] and metadata["weights"] == classifier.checksum


@pytest.mark.parametrize("part", ["train", "train_labels", "held_out", "held_out_labels"])
def test_other_examples_or_labels_have_another_one(dots, part):
    array = getattr(dots, part).copy()
    array.flat[3] ^= 1
    assert key_of(dataclasses.replace(dots, **{part: array}), 2) != key_of(dots, 2)


def test_the_classes_and_the_recipe_are_part_of_the_key(dots, monkeypatch):
    before = key_of(dots, 2)
    assert key_of(dots, 3) != before
    monkeypatch.setattr(cached, "RECIPE", cached.RECIPE + 1)
    assert key_of(dots, 2) != before


def flip(folder):
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / WEIGHTS).write_bytes(content)


def sealed_as_another(folder):
    """Metadata that were changed together with their checksum."""
    from ganrun.storage import checksums

    metadata = json.loads((folder / "metadata.json").read_text()) | {"weights": "0" * 64}
    files = {WEIGHTS: (folder / WEIGHTS).read_bytes(), "metadata.json": json.dumps(metadata).encode()}
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    checksums.write(folder, files)


DAMAGES = {
    "a changed byte": (flip, "SHA-256 differs"),
    "a missing file": (lambda folder: (folder / WEIGHTS).unlink(), "is missing"),
    "an unknown file": (lambda folder: (folder / "other").write_bytes(b""), "does not belong"),
    "no checksums": (lambda folder: (folder / "SHA256SUMS").write_bytes(b""), "not as it was written"),
    "other metadata": (sealed_as_another, "belongs to other weights"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_is_trained_again_with_a_line(damage, stored, dots, capsys):
    classifier, folder = stored
    spoil, reason = DAMAGES[damage]
    spoil(folder)
    again = stored_or_trained(dots, 2, "dots")
    line = capsys.readouterr().err.splitlines()[0]
    assert line.startswith(f"dots: the classifier in {folder} is damaged (") and reason in line
    assert line.endswith("it is trained again.") and again.checksum == classifier.checksum
    assert stored_or_trained(dots, 2, "dots").checksum == classifier.checksum and capsys.readouterr().err == ""


def test_two_at_once_train_one(brief, dots, monkeypatch, cache, capsys):
    trained = []
    train = cached.train_classifier

    def counted(*args):
        trained.append(args)
        return train(*args)

    monkeypatch.setattr(cached, "train_classifier", counted)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: stored_or_trained(dots, 2, "dots"), range(2))
    assert len(trained) == 1 and one.checksum == other.checksum != ""
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 1
    assert "waiting for another process" in capsys.readouterr().err


def test_without_locks_two_may_write_the_same(stored, dots, monkeypatch, cache):
    classifier, folder = stored
    content = (folder / WEIGHTS).read_bytes()
    assert "stored in" in cached._write(folder, content, classifier, "dots")  # the second to finish
    monkeypatch.setattr(cached, "train_classifier", never)
    assert stored_or_trained(dots, 2, "dots").checksum == classifier.checksum
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [folder.name]


def test_a_cache_that_cannot_be_written_prevents_nothing(brief, dots, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANRUN_CACHE", str(tmp_path / "file"))
    assert len(stored_or_trained(dots, 2, "dots").checksum) == 64
    assert "it cannot be stored in" in capsys.readouterr().err


def test_auto_is_a_classifier_for_labelled_images_only(brief):
    found = extractor("auto", Digits())
    assert isinstance(found, Classifier) and (found.name, found.size, found.shape) == ("classifier", 128, (8, 8, 1))
    raw = extractor("auto", Ring())
    assert isinstance(raw, Raw) and (raw.name, raw.size, raw.checksum) == ("raw", 2, "")
    x = np.arange(12.0).reshape(3, 2, 2, 1)
    assert isinstance(extractor("raw", Digits()), Raw)
    np.testing.assert_array_equal(Raw((2, 2, 1)).features(x), np.arange(12, dtype=np.float32).reshape(3, 4))


@dataclasses.dataclass(frozen=True)
class Stacked(StackedMnist):
    @property
    def channel_dataset(self):
        return Digits()


def test_the_features_of_stacked_images_are_those_of_their_channels(brief):
    found = extractor("classifier", Stacked())
    assert isinstance(found, PerChannel) and (found.size, found.classes) == (384, 1000)
    assert found.checksum == found.classifier.checksum != ""


def test_what_has_no_classifier_says_why():
    assert why_no_classifier(Digits()) == ""
    with pytest.raises(ConfigError, match=r"features=classifier: dataset=ring is not a finite set of labelled"):
        extractor("classifier", Ring())
    with pytest.raises(ConfigError, match=r"not 'clasifier'\. Did you mean 'classifier'\?"):
        extractor("clasifier", Digits())
