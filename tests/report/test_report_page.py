"""The page of a report: well-formed, self-contained, and without a way out for text that looks like HTML."""

import dataclasses
import html.parser
import json

import pytest
from run_folders import make_run

from ganrun.report.content import read_content
from ganrun.report.page import render

VOID = {"meta", "link", "img", "input", "br"}  # elements without an end
HOSTILE = "</script><script>alert(1)</script><img src=http://example.com/x.png>"


class Elements(html.parser.HTMLParser):
    """Checks that elements are closed in order, and collects attributes and texts."""

    def __init__(self):
        super().__init__()
        self.open, self.attributes, self.names, self.texts = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read(page):
    elements = Elements()
    elements.feed(page)
    assert elements.open == []
    return elements


@pytest.fixture(scope="module")
def config(compose_config):
    return compose_config(["loss=minimax", "probe=off", "steps=20"])


def page_of(folder, config, seeds=3, reason=""):
    for seed in range(seeds):
        rows = [{"step": step, "jsd/exact": 0.3 - step / 100} for step in (10, 20)]
        made = make_run(folder / str(seed), dataclasses.replace(config, seed=seed), {"jsd/exact": 0.1}, rows=rows)
        summary = json.loads((made / "summary.json").read_text())
        finding = {"name": "mode collapse", "step": 1, "evidence": reason or "few modes", "try": ["inputs.packing=2"]}
        (made / "summary.json").write_text(json.dumps(summary | {"reason": reason, "warnings": [finding]}))
    return render(read_content([str(folder / str(seed)) for seed in range(seeds)], (), 0.95, "student", False))


def test_elements_are_closed_and_each_section_is_there(tmp_path, config):
    elements = read(page_of(tmp_path, config))
    ids = [value for _, name, value in elements.attributes if name == "id"]
    assert {"comparison", "curves", "samples", "warnings", "runs", "settings"} <= set(ids)
    links = {value for tag, name, value in elements.attributes if tag == "a" and name == "href"}
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert elements.names.count("details") >= 3 and elements.names.count("svg") == 1


def test_nothing_outside_the_page_is_needed(tmp_path, config):
    elements = read(page_of(tmp_path, config))
    loaded = [value for _, name, value in elements.attributes if name in ("src", "href", "xlink:href")]
    assert all(value.startswith(("#", "data:")) for value in loaded)
    (policy,) = [value for tag, _, value in elements.attributes if tag == "meta" and "default-src" in (value or "")]
    assert policy.startswith("default-src 'none'")
    assert not any("@import" in text or "url(" in text.replace("url(#", "") for text in elements.texts)


def test_text_that_looks_like_html_stays_text(tmp_path, config):
    page = page_of(tmp_path / HOSTILE.replace("/", "_"), config, reason=HOSTILE)
    elements = read(page)
    assert elements.names.count("script") == 2  # the data and the script of the page
    assert any("<script>alert(1)</script>" in text for text in elements.texts)
    assert not any("example.com" in (value or "") for _, name, value in elements.attributes if name == "src")


def test_thirty_two_runs_with_pictures_stay_below_five_megabytes(tmp_path, config):
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (500, 500, 3), np.uint8)  # the worst picture to compress
    for seed in range(32):
        rows = [{"step": step, "jsd/exact": 1 / step, "D(x)": 0.5, "D(G(z))": 0.4} for step in range(1, 400)]
        made = make_run(tmp_path / str(seed), dataclasses.replace(config, seed=seed), {"jsd/exact": 0.1}, rows=rows)
        (made / "samples").mkdir()
        Image.fromarray(noise).resize((500, 500)).save(made / "samples" / "00000020.png")
    paths = [str(tmp_path / str(seed)) for seed in range(32)]
    assert len(render(read_content(paths, (), 0.95, "student", False)).encode()) < 5e6
