import contextlib
import hashlib
import http.server
import socket
import stat
import threading

import pytest

from ganrun.datasets.download import fetch
from ganrun.errors import ConfigError

CONTENT = bytes(range(256)) * 40
MD5 = hashlib.md5(CONTENT).hexdigest()
NAME = "images.gz"


class Mirror(http.server.BaseHTTPRequestHandler):
    """/good/ serves the file, /short/ breaks off, /other/ serves something else, /slow/ never answers."""

    def do_GET(self):
        asked = self.path.split("/")[1]
        self.server.asked.append(self.path)
        if asked == "slow":
            self.server.over.wait(10)
            return
        if asked not in ("good", "short", "other"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write({"good": CONTENT, "short": CONTENT[:100], "other": CONTENT[::-1]}[asked])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as serving:
        serving.asked, serving.over = [], threading.Event()
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield serving
        serving.over.set()
        serving.shutdown()
        thread.join()


def mirror(server, kind):
    return f"http://127.0.0.1:{server.server_address[1]}/{kind}/"


def closed_port():
    with contextlib.closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


def failure(tmp_path, *mirrors, **options):
    """Return the message of a download that must fail and must leave nothing behind."""
    with pytest.raises(ConfigError) as caught:
        fetch(NAME, mirrors, tmp_path / "data" / "mnist", **options)
    assert list(tmp_path.iterdir()) == []
    assert str(caught.value).count("\n") <= 1
    return str(caught.value)


def test_a_file_arrives_whole_and_alone(tmp_path, server):
    path = fetch(NAME, [mirror(server, "good")], tmp_path / "data" / "mnist", md5=MD5)
    assert path == tmp_path / "data" / "mnist" / NAME
    assert path.read_bytes() == CONTENT
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [entry for entry in tmp_path.rglob("*") if entry.is_file()] == [path]
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]


def test_without_a_hash_and_without_a_slash(tmp_path, server, capfd):
    path = fetch(NAME, [mirror(server, "good").rstrip("/")], tmp_path)
    assert path.read_bytes() == CONTENT
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bad", ["absent", "short", "other"])
def test_the_second_mirror_stands_in_for_a_bad_first(tmp_path, server, bad):
    path = fetch(NAME, [mirror(server, bad), mirror(server, "good")], tmp_path, md5=MD5)
    assert path.read_bytes() == CONTENT
    assert server.asked == [f"/{bad}/{NAME}", f"/good/{NAME}"]


def test_the_mirrors_after_a_good_one_are_left_alone(tmp_path, server):
    fetch(NAME, [mirror(server, "good"), mirror(server, "absent")], tmp_path)
    assert server.asked == [f"/good/{NAME}"]


def test_a_file_that_is_there_is_replaced(tmp_path, server):
    (tmp_path / NAME).write_text("old")
    assert fetch(NAME, [mirror(server, "good")], tmp_path).read_bytes() == CONTENT


def test_a_wrong_md5(tmp_path, server):
    message = failure(tmp_path, mirror(server, "other"), md5=MD5)
    assert message == f"{NAME} could not be downloaded: {mirror(server, 'other')} (its md5 is not {MD5})."


def test_a_truncated_body(tmp_path, server):
    assert f"{mirror(server, 'short')} (the transfer was interrupted)" in failure(tmp_path, mirror(server, "short"))


def test_a_silent_mirror(tmp_path, server):
    assert "(no response within 0.2 s)" in failure(tmp_path, mirror(server, "slow"), timeout=0.2)


def test_all_mirrors_down(tmp_path, server):
    nobody = closed_port()
    message = failure(tmp_path, nobody, mirror(server, "absent"))
    assert message == (
        f"{NAME} could not be downloaded: {nobody} (no connection), {mirror(server, 'absent')} (HTTP 404)."
    )


@pytest.mark.parametrize("url", ["file:///etc/", "nonsense", "", "http://", "http://[::1/", "ftp://127.0.0.1/"])
def test_a_mirror_that_is_no_web_address(tmp_path, url):
    assert f"could not be downloaded: {url} (" in failure(tmp_path, url)


def test_no_mirrors(tmp_path):
    assert "no mirrors are given" in failure(tmp_path)


def test_what_a_verification_refuses_moves_on_to_the_next_mirror(tmp_path, server):
    def verify(path):
        if path.read_bytes() != CONTENT:
            raise ConfigError(f"{path}: is no picture")

    other = mirror(server, "other")
    assert f"{other} (is no picture)" in failure(tmp_path, other, verify=verify)
    path = fetch(NAME, [other, mirror(server, "good")], tmp_path, verify=verify)
    assert path.read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made(tmp_path, server):
    (tmp_path / "data").write_text("a file where the folder should be")
    for folder in (tmp_path / "data", tmp_path / "data" / "mnist"):
        with pytest.raises(ConfigError, match="cannot be stored in"):
            fetch(NAME, [mirror(server, "good")], folder)
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]
