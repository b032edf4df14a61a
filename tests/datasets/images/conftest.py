import io

import pytest
from PIL import Image

from ganrun.datasets import array
from ganrun.datasets.images import files


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """The folder of decoded images; nothing that another test has opened is known."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("GANRUN_CACHE", str(folder))
    monkeypatch.setattr(files, "_known", {})
    monkeypatch.setattr(array, "_known", {})
    return folder / "datasets"


@pytest.fixture(scope="session")
def encoded():
    """A function that returns a picture of one colour as a file."""

    def encode(colour, size=(6, 4), kind="PNG", **options):
        held = io.BytesIO()
        mode = options.pop("mode", "L" if isinstance(colour, int) else "RGB")
        Image.new(mode, size, colour).save(held, kind, **options)
        return held.getvalue()

    return encode
