import dataclasses
import functools
import gzip
import hashlib
import http.server
import pathlib
import struct
import subprocess
import sys
import threading
from typing import ClassVar

import numpy as np
import pytest

from ganrun.datasets.images import FILES, Digits, FashionMnist, IdxImages, Mnist
from ganrun.errors import ConfigError

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
COUNTS = {"train": 5, "held_out": 2}


def content(split):
    count = COUNTS[split]
    return struct.pack(">2xBBIII", 8, 3, count, 2, 3) + bytes(range(count * 6))


@dataclasses.dataclass(frozen=True)
class Tiny(IdxImages):
    name: str = "tiny"

    torchvision: ClassVar[str] = "Tiny"
    counts: ClassVar[dict[str, int]] = COUNTS
    sha256: ClassVar[dict[str, str]] = {split: hashlib.sha256(content(split)).hexdigest() for split in COUNTS}

    @property
    def shape(self):
        return 2, 3, 1


def fill(folder, packed=True):
    folder.mkdir(parents=True)
    for split, stem in FILES.items():
        if packed:
            (folder / f"{stem}.gz").write_bytes(gzip.compress(content(split)))
        else:
            (folder / stem).write_bytes(content(split))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def serve(monkeypatch):
    """A function that serves a folder on the loopback interface and returns its address."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    servers = []

    def start(folder):
        handler = functools.partial(Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}/"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("folder", ["tiny", "Tiny/raw"])
def test_files_are_found_in_both_layouts(tmp_path, folder, packed):
    fill(tmp_path / folder, packed)
    option = Tiny(download=False)
    suffix = ".gz" if packed else ""
    assert option.find(tmp_path) == {split: tmp_path / folder / f"{stem}{suffix}" for split, stem in FILES.items()}
    option.check(tmp_path)
    arrays = option.load(tmp_path)
    assert arrays.shape == option.shape == (2, 3, 1)
    np.testing.assert_array_equal(arrays.train, np.arange(30).reshape(5, 6))
    np.testing.assert_array_equal(arrays.held_out, np.arange(12).reshape(2, 6))
    assert arrays.train.dtype == arrays.held_out.dtype == np.uint8


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_files_are_found_under_their_other_name(suffix, tmp_path):
    fill(tmp_path / "tiny", packed=bool(suffix))
    for name in ("train-images", "t10k-images"):
        path = tmp_path / "tiny" / f"{name}-idx3-ubyte{suffix}"
        path.rename(path.with_name(f"{name}.idx3-ubyte{suffix}"))
    option = Tiny(download=False)
    assert option.find(tmp_path) == {
        "train": tmp_path / "tiny" / f"train-images.idx3-ubyte{suffix}",
        "held_out": tmp_path / "tiny" / f"t10k-images.idx3-ubyte{suffix}",
    }
    np.testing.assert_array_equal(option.load(tmp_path).train, np.arange(30).reshape(5, 6))


@pytest.mark.parametrize("option", [Mnist(download=False), FashionMnist(download=False)], ids=lambda it: it.name)
def test_missing_files_are_told_with_the_folders_and_the_remedy(tmp_path, option):
    with pytest.raises(ConfigError) as caught:
        option.check(tmp_path)
    message = str(caught.value)
    assert message == (
        f"{option.name}: train-images-idx3-ubyte[.gz] is missing in {tmp_path / option.name} and "
        f"{tmp_path / option.torchvision / 'raw'}; dataset.download is false, or the run is resumed.\n"
        f"Set data_dir=... or $GANRUN_DATA to a folder that holds {option.name}/, "
        f"or put {option.mirrors[0]}train-images-idx3-ubyte.gz into {tmp_path / option.name}."
    )
    assert list(tmp_path.iterdir()) == []


def test_the_missing_one_of_the_two_files_is_named(tmp_path):
    fill(tmp_path / "tiny")
    (tmp_path / "tiny" / "t10k-images-idx3-ubyte.gz").unlink()
    for act in (Tiny(download=False).check, Tiny(download=False).load):
        with pytest.raises(ConfigError, match="tiny: t10k-images-idx3-ubyte"):
            act(tmp_path)


def test_a_failed_download_is_told_in_two_lines(tmp_path, serve):
    (tmp_path / "empty").mkdir()
    mirror = serve(tmp_path / "empty")
    with pytest.raises(ConfigError) as caught:
        Tiny(mirrors=(mirror,)).check(tmp_path / "data")
    first, second = str(caught.value).split("\n")
    assert f"is missing in {tmp_path / 'data' / 'tiny'} and" in first
    assert f"could not be downloaded: {mirror} (HTTP 404)." in first
    assert f"{mirror}train-images-idx3-ubyte.gz" in second
    assert not (tmp_path / "data").exists()


def test_missing_files_are_downloaded_once(tmp_path, serve):
    fill(tmp_path / "mirror")
    option = Tiny(mirrors=(serve(tmp_path / "mirror"),))
    option.check(tmp_path / "data")
    assert sorted(path.name for path in (tmp_path / "data" / "tiny").iterdir()) == sorted(
        f"{stem}.gz" for stem in FILES.values()
    )
    arrays = dataclasses.replace(option, mirrors=()).load(tmp_path / "data")
    assert arrays.train.shape == (5, 6)


def test_a_mirror_that_serves_something_else_is_passed_over(tmp_path, serve):
    (tmp_path / "portal").mkdir()
    for stem in FILES.values():
        (tmp_path / "portal" / f"{stem}.gz").write_text("<html>please log in</html>")
    portal = serve(tmp_path / "portal")
    with pytest.raises(ConfigError, match="not an idx file") as caught:
        Tiny(mirrors=(portal,)).check(tmp_path / "data")
    assert str(caught.value).count("\n") == 1
    assert not (tmp_path / "data").exists()
    fill(tmp_path / "mirror")
    Tiny(mirrors=(portal, serve(tmp_path / "mirror"))).load(tmp_path / "data")


def test_the_published_md5_is_asked_of_a_download(tmp_path, serve):
    @dataclasses.dataclass(frozen=True)
    class Hashed(Tiny):
        md5: ClassVar[dict[str, str]] = {"train": "0" * 32}

    fill(tmp_path / "mirror")
    with pytest.raises(ConfigError, match=f"its md5 is not {'0' * 32}"):
        Hashed(mirrors=(serve(tmp_path / "mirror"),)).check(tmp_path / "data")


@pytest.mark.parametrize("split", COUNTS)
def test_one_flipped_bit_is_refused(tmp_path, split):
    fill(tmp_path / "tiny")
    flipped = bytearray(content(split))
    flipped[-1] ^= 1
    path = tmp_path / "tiny" / f"{FILES[split]}.gz"
    path.write_bytes(gzip.compress(bytes(flipped)))
    with pytest.raises(ConfigError) as caught:
        Tiny(download=False).load(tmp_path)
    assert str(caught.value).startswith(f"{path}: is not the published tiny file")


@pytest.mark.parametrize("option", [Mnist(download=False), FashionMnist(download=False)], ids=lambda it: it.name)
def test_other_shapes_are_refused(tmp_path, option):
    fill(tmp_path / option.name)
    with pytest.raises(ConfigError, match=r"shape \(5, 2, 3\); .* has \(60000, 28, 28\)"):
        option.load(tmp_path)


def test_real_mnist_loads(real):
    arrays = Mnist(download=False).load(real)
    assert arrays.shape == Mnist().shape == (28, 28, 1)
    assert arrays.train.shape == (60_000, 784)
    assert arrays.held_out.shape == (10_000, 784)
    # The mean and the spread of the training pixels, in every tutorial: 0.1307 and 0.3081.
    assert arrays.train.mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    assert arrays.train.std() / 255 == pytest.approx(0.3081, abs=1e-4)


def test_real_mnist_downloads(real, tmp_path, serve):
    found = Mnist().find(real)
    if any(path.suffix != ".gz" for path in found.values()):
        pytest.skip(f"MNIST in {real} is not gzipped, so a mirror cannot be made of it")
    option = Mnist(mirrors=(serve(found["train"].parent),))
    option.check(tmp_path)
    assert option.find(tmp_path) == {split: tmp_path / "mnist" / path.name for split, path in found.items()}


def test_digits_are_all_there_and_always_the_same():
    arrays = Digits().load(pathlib.Path("unused"))
    again = Digits().load(pathlib.Path("elsewhere"))
    assert arrays.shape == Digits().shape == (8, 8, 1)
    assert arrays.train.shape == (1437, 64)
    assert arrays.held_out.shape == (360, 64)
    assert arrays.train.dtype == arrays.held_out.dtype == np.uint8
    assert (arrays.train.min(), arrays.train.max()) == (0, 255)
    np.testing.assert_array_equal(arrays.train, again.train)
    np.testing.assert_array_equal(arrays.held_out, again.held_out)


def test_digits_split_is_disjoint():
    from sklearn.datasets import load_digits

    everything = np.rint(load_digits().data * 255 / 16).astype(np.uint8)
    arrays = Digits().load(pathlib.Path("unused"))
    # Each of the 1 797 exactly once: the two parts together are a reordering of the whole.
    together = np.concatenate([arrays.train, arrays.held_out])
    assert sorted(map(bytes, together)) == sorted(map(bytes, everything))
    assert len(set(map(bytes, everything))) == len(everything)  # so that no image can be in both parts


def test_digits_need_no_files(tmp_path):
    assert Digits().find(tmp_path) == {}
    Digits().check(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []


def test_naming_a_dataset_does_not_import_what_only_loading_needs():
    program = (
        "import sys, ganrun.datasets.images as images; images.Mnist(); images.Digits().shape; "
        "sys.exit(bool({'sklearn', 'pooch', 'requests'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True)
