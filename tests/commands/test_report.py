"""``ganrun report``: a real sweep as a page in a real browser, and what the command refuses."""

import re
import shutil
import subprocess

import pytest

TRAIN = ("train", "-m", "loss=hinge,minimax", "seed=0,1", "steps=20", "log.every=5", "log.pictures=2")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Sorts, filters and moves the pointer as a reader does, and writes what happened where the browser's dump shows it.
READER = """
<script>
const say = (name, value) => document.body.setAttribute(`data-${name}`, value);
const rows = () => [...document.querySelectorAll("table.sortable tbody tr")].map((row) => row.cells[1].textContent);
const heads = [...document.querySelectorAll("table.sortable th button")];
heads[0].click(); say("up", rows().join());
heads[0].click(); say("down", rows().join());
const filter = document.querySelector(".filter input");
filter.value = "HINGE seed=1"; filter.dispatchEvent(new Event("input"));
say("left", [...document.querySelectorAll("details.run:not([hidden])")].length);
const svg = document.querySelector(".chart svg"), box = svg.getBoundingClientRect();
const at = {clientX: box.left + box.width * 0.98, clientY: box.top + 5};
svg.dispatchEvent(new PointerEvent("pointermove", at));
say("tooltip", document.getElementById("tooltip").textContent);
</script>
"""
FRAME = """<!doctype html><body><iframe src="{page}" style="width:{width}px;height:900px;border:0"></iframe><script>
addEventListener("message", (event) => document.body.setAttribute("data-widths", event.data));
</script>"""
WIDTHS = """
<script>
const page = document.documentElement;
parent.postMessage(`${page.scrollWidth},${page.clientWidth},${innerWidth}`, "*");
</script>
"""


@pytest.fixture(scope="module")
def sweep(inside, tiny, tmp_path_factory):
    cwd = tmp_path_factory.mktemp("reported")
    done = inside(*TRAIN, *tiny, "hydra.sweep.dir=sweep", cwd=cwd)
    assert done.returncode == 0, done.stderr
    done = inside("report", "sweep", cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"4 runs in report.html \(0.\d MB\); open it in a browser\n", done.stdout)
    return cwd


def browsed(page, cwd):
    """What the browser makes of ``page``, and what it complains about."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium")
    words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={cwd / 'profile'}"]
    words += ["--enable-logging=stderr", "--virtual-time-budget=2000", "--dump-dom", page.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_the_page_shows_both_losses_their_runs_and_how_to_repeat_them(sweep):
    text = (sweep / "report.html").read_text()
    assert text.count('<details class="run">') == 4
    assert "4 completed" in text and "loss=hinge, seed=0" in text and "loss=minimax, seed=1" in text
    assert "ganrun train -m dataset=ring" in text and "loss=hinge,minimax" in text


def test_a_browser_has_nothing_to_complain_about(sweep, tmp_path):
    dom, complaints = browsed(sweep / "report.html", tmp_path)
    assert complaints == [] and "<h1>4 runs of sweep</h1>" in dom


def test_a_complaint_would_be_seen(sweep, tmp_path):
    page = tmp_path / "wrong.html"
    text = (sweep / "report.html").read_text().replace("</body>", '<img src="http://127.0.0.1:9/x.png"></body>')
    page.write_text(text)
    assert any("Content Security Policy" in line for line in browsed(page, tmp_path)[1])


def test_tables_are_sorted_runs_filtered_and_values_shown(sweep, tmp_path):
    page = tmp_path / "read.html"
    page.write_text((sweep / "report.html").read_text().replace("</body>", f"{READER}</body>"))
    dom, complaints = browsed(page, tmp_path)
    found = dict(re.findall(r'data-(up|down|left|tooltip)="([^"]*)"', dom))
    assert complaints == []
    assert (found["up"], found["down"], found["left"]) == ("hinge,minimax", "minimax,hinge", "1")
    assert found["tooltip"].startswith("step 20") and "loss=hinge" in found["tooltip"]


@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_is_as_wide_as_the_screen(sweep, tmp_path, width):
    page = tmp_path / "page.html"
    page.write_text((sweep / "report.html").read_text().replace("</body>", f"{WIDTHS}</body>"))
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(page=page.as_uri(), width=width))
    dom, _ = browsed(frame, tmp_path)
    content, seen, whole = map(int, re.search(r'data-widths="(\d+),(\d+),(\d+)"', dom).groups())
    assert content == seen and width - 20 <= seen <= whole == width  # a scroll bar at most is between them


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "report needs runs to report on. usage: ganrun report PATH [PATH ...] [KEY=VALUE ...]"),
        (("sweep", "out=page.htlm"), "out must end in .html, not '.htlm'. Did you mean '.html'?"),
        (("sweep", "metrics=[jsd/exakt]"), "no run has the metric 'jsd/exakt'. Did you mean"),
        (("nowhere",), "nowhere"),
        (("sweep", "-m"), "report takes all its runs at once: leave out -m."),
        (("sweep", "out=none/page.html"), "out"),
    ],
)
def test_what_cannot_be_reported_is_refused_in_a_line(sweep, inside, words, line):
    before = sorted(path.name for path in sweep.iterdir())
    done = inside("report", *words, cwd=sweep)
    assert done.returncode == 2 and done.stdout == ""
    assert line in done.stderr and len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in sweep.iterdir()) == before
