"""A config.yaml that a stranger wrote is data: what else it tries to be is refused by every command that reads it."""

from __future__ import annotations

import http.server
import pickle
import threading

import pytest
from stranger import READERS, RESUME, Payload, in_place_of, tree, without

ALL = {**READERS, "resume": RESUME}
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(10 * [f'*{before}'])}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
TOUCH = "['touch CANARY']"

# What is put before the rest of a good config, or (with a colon at its end) in the place of a setting's value.
ADDED = {
    "a call": f"extra: !!python/object/apply:os.system {TOUCH}\n",
    "a call in the place of a list": f"!!python/object/apply:os.system {TOUCH}\n",
    "a new object": "extra: !!python/object/new:subprocess.Popen [[touch, CANARY]]\n",
    "a name of Python's": "extra: !!python/name:os.system\n",
    "a path, which OmegaConf would make": "extra: !!python/object/apply:pathlib.Path [/etc]\n",
    "a set": "extra: !!set {a, b}\n",
    "a tag that nobody knows": "extra: !evil x\n",
    "a target": "_target_: os.system\n",
    "a section of Hydra's with a folder": "hydra: {run: {dir: CANARY}}\n",
    "a section of Hydra's with a launcher": "hydra: {launcher: {_target_: os.system}}\n",
    "a callback of Hydra's": "hydra:\n  callbacks: {x: {_target_: subprocess.Popen, args: [touch, CANARY]}}\n",
    "other files": "defaults: [/etc/passwd]\n",
    "another launcher": "defaults: [settings, _self_, {override hydra/launcher: joblib}]\n",
    "an alias": "extra: &x 1\nmore: *x\n",
    "a merge": "<<: {seed: 5}\n",
    "a bomb of aliases": BOMB,
    "an alias of itself": "extra: &x [*x]\n",
    "a key twice": "batch_size: 16\nbatch_size: 16\n",
    "a list for a key": "? [a, b]\n: c\n",
    "a group for a key": "{a: b}: c\n",
    "an escape sequence": '"\\e[31mred\\e[0m": 1\n',
    "a key of two lines": '"seed is fine.\\nganrun: all is well": 1\n',
    "too many brackets": "extra: " + 100_000 * "[" + "\n",
    "many dashes": "extra:\n  " + 50_000 * "- " + "x\n",
    "a hundred groups": "extra: " + 100 * "{a: " + 100 * "}" + "\n",
    "too much": "#" * (1 << 18) + "\n",
    "a long text": f"extra: {'x' * 5000}\n",
    "a long number": f"extra: 0x{'f' * 5000}\n",
    "another document": "---\nseed: 1\n---\n",
    "a second run": "population: {jobs: ['[\"hydra.run.dir=CANARY\"]']}\n",
}
VALUES = {
    "seed": ("9" * 5000, "0x" + "f" * 300, ".nan", ".inf", "1e400", "-1", "2024-01-01", "[0]", "{}", "1:2:3:4:5:6:7:8"),
    "data_dir": (
        "${oc.env:HOME}",
        "'${oc.decode:${oc.env:HOME}}'",
        "a\\${hydra:runtime.cwd}",
        "${steps}",
        "~nobody-of-this-name/x",
        '"a\\0b"',
        '"a\\nb"',
        "!!binary aGVsbG8=",
    ),
    "resume": ("/", "CANARY"),
    "loss": ("{_target_: os.system}", "{name: os.system}", "{name: [a]}", "minimax", "null"),
    "penalty": ("{'../x': {}}", "{r1: {_target_: x}}", "[r1]", "5"),
    "log": ("{every: 0}", "{every: .inf, pictures: 1}", "[]"),
    "plugins": ("[os]", "[os.path]", "os", "[[os]]", "{os: 1}", "['x] seed=[1']"),
}
RAW = {
    "nothing": b"",
    "a word": b"seed",
    "a list": b"- 1\n",
    "half a list": b"seed: [",
    "no text": b"\xff\xfe\x00\xd8",
    "a half of a surrogate": b"seed: \xed\xa0\x80",
    "a zero byte": b"seed: \0",
    "a pickle": b"\x80\x04\x95\x20\x00\x00\x00cos\nsystem\n",
    "an escape sequence for a text": b'seed: "\x1b[2J"',
}


@pytest.mark.parametrize("command", ["sample", "resume"])
@pytest.mark.parametrize("more", ADDED.values(), ids=ADDED.keys())
def test_what_is_no_setting_is_refused(command, more, stranger, outside, refused):
    path, canary = stranger / "config.yaml", outside / "canary"
    rest = "" if more.startswith(("!!", "---")) else path.read_text()
    for key in ("defaults", "population", "batch_size"):
        if more.startswith(f"{key}:"):
            rest = without(rest, key)
    path.write_text(more.replace("CANARY", str(canary)) + rest)
    assert len(refused(*ALL[command])) < 2100


@pytest.mark.parametrize("command", ["compare", "resume"])
@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in VALUES.items() for value in values])
def test_a_value_that_is_none_is_refused(command, key, value, stranger, outside, refused):
    path = stranger / "config.yaml"
    path.write_text(without(path.read_text(), key) + f"{key}: {value.replace('CANARY', str(outside))}\n")
    refused(*ALL[command])


@pytest.mark.parametrize("command", ALL)
@pytest.mark.parametrize("content", RAW.values(), ids=RAW.keys())
def test_what_is_no_config_at_all_is_refused(command, content, stranger, refused):
    (stranger / "config.yaml").write_bytes(content)
    refused(*ALL[command])


@pytest.mark.parametrize("command", ALL)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "link"])
def test_what_is_no_file_is_refused_and_not_waited_for(command, kind, stranger, outside, refused):
    in_place_of(stranger / "config.yaml", kind, outside)
    refused(*ALL[command])


def test_a_pickled_config_is_never_unpickled(outside, refused, tmp_path):
    (tmp_path / "config.pickle").write_bytes(pickle.dumps(Payload(outside / "canary")))
    for command in ("train", "sample", "jsd", "compare", "bench"):
        assert "would unpickle a file" in refused(command, "--experimental-rerun=config.pickle")


GREEDY = {
    "a list of layers": ("mlp", "generator_hidden", "[" + 1000 * "8," + "8]", "at most 100 entries"),
    "a wide layer": ("mlp", "generator_hidden", "[10000000000]", "at most 1e+06"),
    "blocks": ("resnet", "depth", "1000000000", "at most 64"),
    "channels": ("dcgan", "width", "1000000000", "at most 65536"),
    "groups": ("r3gan", "depth", "1000000000", "at most 64"),
}


@pytest.mark.parametrize(("name", "key", "value", "hint"), GREEDY.values(), ids=GREEDY.keys())
def test_networks_that_would_never_be_built_are_refused(name, key, value, hint, stranger, refused):
    path = stranger / "config.yaml"
    path.write_text(without(path.read_text(), "architecture") + f"architecture: {{name: {name}, {key}: {value}}}\n")
    assert hint in refused(*READERS["sample"])


def test_other_files_beside_a_config_are_never_read(stranger, outside, inside, tmp_path):
    bad = f"x: !!python/object/apply:os.system ['touch {outside / 'canary'}']\nhydra: {{run: {{dir: {outside}/run}}}}\n"
    for name in ("settings", "train", "loss/nonsaturating", "hydra/job_logging/none", "hydra/output/x", "resumed"):
        (stranger / name).parent.mkdir(parents=True, exist_ok=True)
        (stranger / f"{name}.yaml").write_text(bad)
    done = inside(*RESUME, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "completed at step 6/6" in done.stdout


def test_the_name_of_a_run_is_a_name_and_no_interpolation(stranger, outside, inside, tmp_path):
    odd = tmp_path / "outputs" / "it's $x {a: b} \\' [a,b] seed=3"
    odd.parent.mkdir()
    stranger.rename(odd)
    done = inside("train", "resume=latest", "steps=6", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(odd.parent.iterdir()) == [odd] and '"steps": 6' in (odd / "summary.json").read_text()


def test_an_interpolation_for_a_name_is_refused(stranger, refused, tmp_path):
    odd = tmp_path / "outputs" / "${oc.env:HOME}"
    odd.parent.mkdir()
    stranger.rename(odd)
    assert "rename the folder" in refused("train", "resume=latest", "steps=6")


@pytest.fixture
def asked(monkeypatch):
    """The address of a server, and what it has been asked for."""

    class Mirror(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    paths: list[str] = []
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{serving.server_address[1]}/", paths
        serving.shutdown()
        thread.join()


@pytest.mark.parametrize("command", ["resume", "resume a sweep"])
def test_a_run_has_nothing_fetched_from_where_it_says_to_where_it_says(command, stranger, asked, outside, refused):
    address, paths = asked
    path = stranger / "config.yaml"
    rest = without(without(path.read_text(), "dataset"), "data_dir")
    mirrors = f"dataset: {{name: mnist, download: true, mirrors: ['{address}']}}\n"
    path.write_text(rest + mirrors + f"data_dir: {outside / 'data'}\n")
    if command == "resume a sweep":
        inner = stranger.rename(stranger.with_name("0"))
        stranger.mkdir()
        inner.rename(stranger / "0")
        (stranger / "sweep.json").write_text('{"runs": ["0"], "batches": [[0]]}')
    told = refused("train", "resume=stranger")
    assert "train-images-idx3-ubyte[.gz] is missing" in told and address not in told
    assert paths == [] and tree(outside) == {"file": b"untouched\n"}
