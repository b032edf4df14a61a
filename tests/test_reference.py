"""The reference is that of the code, and has every setting, option, tag, command and exit code."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganrun.cli import COMMANDS
from ganrun.config.folders import config_folder
from ganrun.config.hydra_bridge import compose
from ganrun.config.registry import number
from ganrun.config.schema import SECTIONS
from ganrun.evaluation.metrics.logged import logged
from ganrun.evaluation.metrics.spec import spec_of

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import reference  # noqa: E402
import reference_text  # noqa: E402

FOLDER = ROOT / "docs" / "reference"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}


def keys(node: dict, above: str = "") -> Iterator[str]:
    """The dotted keys of the scalars and lists of a config."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from keys(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def first_cells(page: str) -> set[str]:
    """What stands in backquotes in the first cells of the tables of a page."""
    return set(re.findall(r"^\| \[?`([^`]+)`", PAGES[page], re.MULTILINE))


def plain(page: str) -> str:
    """A page without no-break spaces."""
    return PAGES[page].replace("\N{NO-BREAK SPACE}", " ")


def test_the_pages_are_those_of_the_code():
    assert reference.pages() == PAGES, "run `python scripts/reference.py`"


def test_the_pages_do_not_depend_on_the_order_in_which_options_are_imported(monkeypatch):
    options = reference.options
    monkeypatch.setattr(reference, "options", lambda group: dict(reversed(options(group).items())))
    assert reference.pages() == PAGES


def test_every_setting_of_composed_configs_has_a_row():
    rows = {key.replace("NETWORK", "generator") for page in ("settings.md", "options.md") for key in first_cells(page)}
    found = set()
    for words in ([], ["method=vae", "dataset=mnist"], ["method=rbm", "dataset=digits"], ["experiment=wgan_gp"]):
        found |= set(keys(compose("train", words)))
    found = {key for key in found if not key.endswith(".name") and not key.startswith("optimizer.discriminator.")}
    assert found - rows <= set(SECTIONS)  # null in the config of a method that has none of them
    assert {"seed", "log.every", "dataset.modes", "penalty.gradient_penalty.weight", "metric.modes.samples"} <= rows
    assert {"optimizer.generator.learning_rate", "ema.decay", "method.importance_samples", "probe.times"} <= rows


def test_every_option_and_every_command_has_a_heading():
    headings = set(re.findall(r"^### (.*)$", PAGES["options.md"], re.MULTILINE))
    assert headings == {f"{path.parent.name}={path.stem}" for path in config_folder().glob("*/*.yaml")}
    assert set(re.findall(r"^## ganrun (.*)$", PAGES["commands.md"], re.MULTILINE)) == set(COMMANDS)


def test_every_setting_has_a_meaning():
    for name in ("commands.md", "settings.md", "options.md"):
        empty = [line for line in PAGES[name].splitlines() if re.search(r"\|\s*\|$", line)]
        assert empty == [], f"add comments to conf/: {empty}"


def test_rows_are_what_the_schema_says():
    # From ganrun/config/schema.py, the registry and the YAML files, by hand.
    assert "| `inputs.label_flipping` | `0.0` | number, at least 0, less than 1 | fraction of" in PAGES["settings.md"]
    assert "| `log.every` | `null` | whole number, 1 to 2 147 483 647, or `null` |" in plain("settings.md")
    assert "| `loss.label_smoothing` | `0.0` | number, at least 0, less than 1 |" in PAGES["options.md"]
    assert "| `optimizer.NETWORK.b1` | `0.9` | number, at least 0, less than 1 |" in PAGES["options.md"]
    least_squares = PAGES["options.md"].partition("### loss=least_squares")[2].partition("###")[0]
    assert 'Paper: Mao et al. 2017, "Least squares generative adversarial networks"' in least_squares
    assert "Formula: `" in least_squares
    wgan = PAGES["options.md"].partition("### experiment=wgan\n")[2].partition("###")[0]
    assert "`loss=wasserstein`" in wgan and "`penalty=weight_clipping`" in wgan
    assert "| `mode` | `random` | `random`, `interpolate`, `walk`," in PAGES["commands.md"]


def test_exit_codes_are_those_of_the_errors_and_signals():
    codes = re.findall(r"^\| (\d+) \| (.*) \|$", PAGES["commands.md"], re.MULTILINE)
    assert [int(code) for code, _ in codes] == [0, 1, 2, 130, 143]
    meanings = dict(codes)
    assert "configuration" in meanings["2"] and meanings["130"].startswith("SIGINT ended")
    assert meanings["143"].startswith("SIGTERM or SIGHUP ended")


def test_the_tags_that_runs_log_are_there_with_their_direction(compose_config):
    known = first_cells("tags.md")
    for tag in logged(compose_config(())):
        spec = spec_of(tag)
        assert spec is not None and spec.name in known
    assert "| nats | lower | 0 to log 2 | `metric=exact` |" in PAGES["tags.md"]
    assert re.search(r"\| `fid` \| .* \| lower \| 0 to ∞ \| `ganrun eval` only \|", PAGES["tags.md"])


@pytest.mark.parametrize(
    ("kind", "field", "words"),
    [
        (int, number(1, low=1, high=1_000_000), "whole number, 1 to 1\N{NO-BREAK SPACE}000\N{NO-BREAK SPACE}000"),
        (float, number(0.5, above=0.0, high=1.0), "number, greater than 0, at most 1"),
        (int | None, number(None, low=0), "whole number, at least 0, or `null`"),
        (tuple[float, ...], number((), low=0.0, most=4), "list of numbers, at least 0, at most 4"),
        (bool, number(False), "`true`, `false`"),
    ],
)
def test_allowed_values_are_written_in_words(kind, field, words):
    assert reference_text.allowed(kind, field.metadata) == words


def test_text_is_shown_as_it_is():
    assert reference_text.escaped("E |a| < `x|y` [0,1] kl/*") == r"E \|a\| &lt; `x\|y` \[0,1\] kl/\*"
    typed = [reference_text.as_typed(value) for value in (1, True, None, 1.0, 1e-8, "", [1, "a"], "${oc.env:D,null}")]
    assert typed == ["1", "true", "null", "1.0", "1e-08", "''", "[1, a]", "$D"]
