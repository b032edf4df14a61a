"""What the README, docs/, ``--help`` and the heads of files promise, beyond the commands that test_readme.py runs.

What is promised of one command is tested beside that command; here is what is promised of all of them, and of a run
as a whole, in folders whose names need quotes.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from board import Board

from ganrun.config.hydra_bridge import compose
from ganrun.config.registry import options
from ganrun.config.sweep_compose import jobs
from ganrun.errors import LINES, ConfigError
from ganrun.evaluation.metrics.logged import logged
from ganrun.evaluation.metrics.spec import spec_of, specs
from ganrun.methods.gan.diagnostics.detectors import DETECTORS

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (
        ROOT / "README.md",
        ROOT / "SECURITY.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
    )
}
README, METHODS, METRICS = PAGES["README.md"], PAGES["docs/methods.md"], PAGES["docs/metrics.md"]
CONF = ROOT / "conf"
STEPS = 100
SHORT = (f"steps={STEPS}", "log.every=10", "log.pictures=2", "checkpoint.steps=20", "latent.dim=3", "seed=5")


class Left:
    """A run, what was printed of it, and the folder that it was started in."""

    def __init__(self, cwd: Path, run: Path, done: subprocess.CompletedProcess[str]) -> None:
        self.cwd, self.run, self.done = cwd, run, done

    def said(self, start: str) -> list[str]:
        """What was printed after ``start``."""
        lines = self.done.stdout.splitlines()
        return [line.removeprefix(start).strip() for line in lines if line.startswith(start)]

    def summary(self) -> dict:
        return json.loads((self.run / "summary.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def left(inside, tiny, tmp_path_factory) -> Left:
    """A run that ended by itself, in a folder with a space, a comma and an equals sign in its name."""
    cwd = tmp_path_factory.mktemp("promised")
    place = "my runs/one, k=2"
    batch = (*(word for word in tiny if not word.startswith("log.")), *SHORT, "ema.sigma_rel=[0.1]", "ema.snapshots=4")
    words = ("ganrun", "train", *batch, f"hydra.run.dir='{place}'")
    done = inside(*words[1:], cwd=cwd)
    assert done.returncode == 0, done.stderr
    return Left(cwd, cwd / place, done)


@pytest.fixture(scope="module")
def longer(left, inside, tmp_path_factory) -> Left:
    """The same run, gone on with for longer and with another setting; the run itself is left as it was."""
    cwd = tmp_path_factory.mktemp("longer")
    run = cwd / left.run.name
    subprocess.run(["cp", "-r", str(left.run), str(run)], check=True)
    words = (f"resume={run.name}", f"steps={STEPS + 20}", "ema.decay=0.5", "resume.allow=[ema.decay]")
    done = inside("train", *words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return Left(cwd, run, done)


def layout() -> list[str]:
    """The lines of the listing of a run directory in docs/runs.md."""
    return PAGES["docs/runs.md"].split("## Run directory\n", 1)[1].split("```")[1].splitlines()[1:]


# The files of a run.


def test_a_run_directory_holds_the_documented_files_and_no_others(left):
    listed = {line.split()[0] for line in layout()[1:] if re.match(r"  \S", line)}
    found = {path.name + "/" * path.is_dir() for path in left.run.iterdir()}
    assert {re.sub(r"^events\.out\.tfevents\..*", "events.out.tfevents…", name) for name in found} == listed


def test_of_checkpoints_the_newest_two_are_kept_with_the_documented_files(left):
    folders = sorted((left.run / "checkpoints").iterdir(), key=lambda path: int(path.name))
    assert [int(folder.name) for folder in folders] == [STEPS - 20, STEPS]
    (line,) = [line for line in layout() if line.startswith("  checkpoints/")]
    assert {path.name for path in folders[-1].iterdir()} == set(re.findall(r"`(\S+)`", line))


def test_the_summary_holds_what_is_documented(left):
    summary = left.summary()
    (line,) = [line for line in layout() if line.startswith("  summary.json")]
    assert "status (completed, stopped, pruned, failed), steps, seconds" in line
    assert summary["status"] == "completed" and summary["steps"] == STEPS
    assert {"metrics", "warnings", "device", "versions", "seconds", "seconds_split"} <= summary.keys()


def test_the_seconds_of_a_run_are_divided_among_what_it_did(left):
    summary = left.summary()
    split = summary["seconds_split"]
    assert list(split) == ["loading", "compiling", "training", "evaluating", "writing", "other"]
    assert sum(split.values()) == pytest.approx(summary["seconds"], rel=0.01, abs=0.02)
    assert min(split.values()) >= 0 and split["training"] > 0
    (said,) = left.said("time:")
    told = {part: float(seconds) for part, seconds in re.findall(r"(\w+) ([\d.]+) s", said.partition(";")[0])}
    assert told == {part: pytest.approx(split[part], abs=0.3) for part in told}  # said a moment later
    assert {part for part in split if split[part] >= 0.1} <= told.keys()


def test_a_warning_is_in_the_terminal_in_tensorboard_and_in_the_summary_with_two_settings_to_try(left):
    found = left.summary()["warnings"]
    assert len(found) >= 1
    texts = "\n".join(text for _, text in Board(left.run).texts()["diagnosis"])
    for one in found:
        assert one["step"] <= STEPS and one["evidence"] and len(one["try"]) == 2
        line = f"step {one['step']}: {one['name']}: {one['evidence']}. Try {' or '.join(one['try'])}."
        assert f"warning: {line}" in left.done.stdout and line in texts


def test_the_table_of_warnings_names_all_detectors_in_their_order():
    table = METHODS.split("| warning | condition |", 1)[1].split("\n\n", 1)[0]
    named = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()[2:]]
    of_gan = [f"`{detector.name}`" for detector in DETECTORS]
    assert named[: len(of_gan)] == of_gan and len(set(named)) == len(named)
    others = {detector.name for method in options("method").values() for detector in method().detectors()}
    assert set(named) == {f"`{name}`" for name in others}


# What is printed.


def test_the_end_is_a_table_of_the_metrics_and_what_they_are(left):
    lines = left.done.stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"completed at step {STEPS}/{STEPS} after "))
    assert lines[start + 1].split() == ["metric", "value", "what", "it", "is"]
    metrics = left.summary()["metrics"]
    table = [line for line in lines[start + 2 :] if line.split("  ")[0] in metrics]
    tags = [line.split("  ")[0] for line in table]
    assert tags[0] == "jsd/exact" and {"D(x)", "D(G(z))", "value", "modes/covered"} <= set(tags)
    for tag, line in zip(tags, table, strict=True):
        spec = spec_of(tag)
        assert spec is not None and line.endswith(spec.meaning)
        number = re.match(r"≥?\s*(\S+)", line.removeprefix(tag).strip())
        assert number and float(number[1]) == pytest.approx(metrics[tag], rel=1e-3, abs=1e-3)


def test_every_milestone_shows_the_divergence(left):
    shown = [line for line in left.done.stdout.splitlines() if line.startswith("step ")]
    assert 5 <= len(shown) <= 12 and all("  jsd/exact " in line for line in shown)


def test_the_pictures_lie_where_the_end_says(left):
    (said,) = left.said("pictures:")
    number, folder = re.fullmatch(r"(\d+) in (.*)", said).groups()  # type: ignore[union-attr]
    assert len(list((left.cwd / folder).glob("*.png"))) == int(number) == 3


def test_the_commands_that_are_printed_can_be_typed(left, inside):
    (said,) = left.said("draw samples with:")
    done = inside(*shlex.split(said)[1:], "n=4", "out=drawn.npy", cwd=left.cwd)
    assert done.returncode == 0 and (left.cwd / "drawn.npy").is_file(), done.stderr
    for said in left.said("watch it with:"):
        words = shlex.split(said)
        assert words[:2] == ["tensorboard", "--logdir"]
        assert Board(left.cwd / words[2]).scalars("D(x)")[-1][0] == STEPS


# The head of a run's config.


def test_the_first_line_of_a_config_repeats_the_run(left, inside, rows):
    head = (left.run / "config.yaml").read_text(encoding="utf-8").splitlines()[0]
    command = head.removeprefix("# Repeats this run: ").replace("<this folder>", shlex.quote(str(left.run)))
    words = shlex.split(command)
    assert words[:2] == ["ganrun", "train"]
    again = left.cwd / "again"
    done = inside(*words[1:], f"hydra.run.dir={again}", cwd=left.cwd)
    assert done.returncode == 0, done.stderr
    assert rows(again) == rows(left.run)
    assert (again / "config.yaml").read_bytes() == (left.run / "config.yaml").read_bytes()


# A run that goes on is shown as it now is.


def test_a_run_that_continues_has_the_config_that_it_continues_with(longer):
    config = yaml.safe_load((longer.run / "config.yaml").read_text(encoding="utf-8"))
    assert (config["steps"], config["ema"]["decay"], config["resume"]) == (STEPS + 20, 0.5, None)


def test_tensorboard_shows_a_run_that_continues_as_it_now_is(left, longer):
    before, now = Board(left.run), Board(longer.run)
    (old,), (new,) = before.sessions().values(), now.sessions().values()
    assert (old.values["steps"], new.values["steps"]) == (STEPS, STEPS + 20)
    assert "ema.decay" not in old.values and new.values["ema.decay"] == 0.5
    assert (old.status, new.status) == ("SUCCESS", "SUCCESS")
    assert {tag: len(found) for tag, found in now.texts().items() if tag != "diagnosis"} == {"config": 1, "metrics": 1}
    text = now.texts()["config"][0][1]
    written = yaml.safe_load((longer.run / "config.yaml").read_text(encoding="utf-8"))
    assert written.pop("defaults") and yaml.safe_load("\n".join(line[4:] for line in text.splitlines())) == written
    assert [step for step, _ in now.scalars("D(x)")] == list(range(10, STEPS + 21, 10))


def test_summary_and_terminal_show_a_run_that_continues_as_it_now_is(left, longer):
    summary = longer.summary()
    assert (summary["status"], summary["steps"]) == ("completed", STEPS + 20)
    assert summary["seconds"] > left.summary()["seconds"] * 0.5
    assert sum(summary["seconds_split"].values()) == pytest.approx(summary["seconds"], rel=0.01, abs=0.02)
    assert f" continues at step {STEPS}" in longer.done.stdout
    milestones = [line.split("  ")[0] for line in longer.done.stdout.splitlines() if line.startswith("step ")]
    assert milestones and all(line.endswith(f"/{STEPS + 20}") for line in milestones)
    assert f"completed at step {STEPS + 20}/{STEPS + 20} after " in longer.done.stdout
    log = [line[20:] for line in (longer.run / "train.log").read_text(encoding="utf-8").splitlines()]
    assert log[-len(longer.done.stdout.splitlines()) :] == longer.done.stdout.splitlines()


def test_every_warning_so_far_is_reported_at_the_end_of_a_run_that_continues(left, longer):
    assert longer.summary()["warnings"][: len(left.summary()["warnings"])] == left.summary()["warnings"]
    for one in left.summary()["warnings"]:
        assert f"- step {one['step']}: {one['name']}: " in longer.done.stdout


# Tables and lists of the README and of docs/.


def documented_tags(cells: slice = slice(1)) -> set[str]:
    """What the table of tags names in these of its two columns: the tags themselves, or those in their meaning too."""
    table = METRICS.split("| tag | meaning |", 1)[1].split("\n\n", 1)[0]
    found = (cell for line in table.splitlines()[2:] for cell in line.split(" | ")[cells])
    return {tag for cell in found for tag in re.findall(r"`([^`]+)`", cell)}


def is_documented(tag: str) -> bool:
    listed = documented_tags(slice(2))
    families = {re.sub(r"(…|class_\d+)$", "", one) for one in listed if one.endswith("…") or "/class_" in one}
    return tag in listed or any(tag.startswith(family) for family in families)


def test_every_documented_tag_is_a_metric_and_every_metric_is_documented():
    for tag in documented_tags() - {"chart/…"}:  # of TensorBoard alone
        assert spec_of(tag.replace("…", "x")) is not None, tag
    for spec in specs():
        if spec.name.endswith("*"):
            assert any(tag.startswith(spec.name[:-1]) for tag in documented_tags(slice(2))), spec.name
        else:
            assert is_documented(spec.name), spec.name


def test_every_tag_that_a_run_logs_is_a_metric_and_documented(left, longer):
    for run in (left, longer):
        for tag in run.summary()["metrics"]:
            assert spec_of(tag) is not None and is_documented(tag), tag


@pytest.mark.parametrize(
    "words",
    [
        ("dataset=mixture1d", "latent.dim=1", "penalty=[r1,drift,gradient_penalty]"),
        ("dataset=digits", "conditional=true", "probe=stack"),
        ("loss=hinge", "dataset=digits", "conditional=true"),
        ("loss=relativistic", "latent.dim=3"),
    ],
)
def test_every_tag_that_a_run_would_log_is_a_metric_and_documented(words, compose_config):
    tags = logged(compose_config(words))
    assert len(tags) > 15
    for tag in tags:
        assert spec_of(tag) is not None and is_documented(tag), tag


def test_the_methods_that_are_said_to_take_classes_do_and_the_others_refuse_them(compose_config):
    page = PAGES["docs/conditional.md"]
    takes, refuses = (
        set(re.findall(r"`([a-z]+)`", re.search(pattern, page)[1]))
        for pattern in (
            r"`method=vae`, ([^;]*) take `conditional=true` too",
            r"\n([^\n]*) model examples without classes",
        )
    )
    takes |= {"gan", "vae"}
    assert takes | refuses == set(options("method")) and not takes & refuses
    for method in takes | refuses:
        config = compose_config((f"method={method}", "dataset=digits", "conditional=true"))
        if method in takes:
            assert config.method.build(config, config.dataset.shape).classes == 10
        else:
            with pytest.raises(ConfigError, match=f"conditional=true cannot be combined with method={method}"):
                config.method.build(config, config.dataset.shape)


def test_the_losses_that_are_documented_for_a_tag_read_the_discriminator_so():
    def row(tag: str) -> str:
        return next(line for line in METRICS.splitlines() if line.startswith(f"| `{tag}`"))

    output_type = {name: loss.output_type for name, loss in options("loss").items()}
    named = set(re.findall(r"`(\w+)`", row("D(x)").split("(losses", 1)[1]))
    assert named == {name for name, how in output_type.items() if how == "probability"}
    pairs = set(re.findall(r"`(\w+)`", row("value/pair").split(" only:")[0].split(" | ", 1)[1]))
    assert pairs == {name for name, how in output_type.items() if how == "pair"}


def test_all_presets_are_documented():
    text = METHODS.split("These presets have", 1)[1].split("\n\n", 1)[0]
    assert set(re.findall(r"`(\w+)`", text)) == {path.stem for path in (CONF / "experiment").glob("*.yaml")}


def test_the_documented_extras_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pages = (text for page, text in PAGES.items() if page == "README.md" or page.startswith("docs/"))
    named = set(re.findall(r"'\.\[(\w+)\]'", "\n".join(pages)))
    assert named == set(project["optional-dependencies"])
    assert "with Python 3.11 or later" in README and project["requires-python"] == ">=3.11"


def anchors(page: str) -> set[str]:
    """The anchors of the headings of a page, as GitHub forms them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_to_a_heading(page):
    links = [link for link in re.findall(r"\]\(([^)]+)\)", PAGES[page]) if "://" not in link]
    for path in re.findall(r"`(scripts/\S+\.(?:py|md))`", PAGES[page]):
        assert (ROOT / path).exists(), path
    for link in links:
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(str(target.relative_to(ROOT))), link


def test_the_readme_links_to_every_page():
    assert set(re.findall(r"\]\(([^)#]+\.md)\)", README)) >= PAGES.keys() - {"README.md"}


@pytest.mark.parametrize(
    ("key", "value"),
    [("checkpoint.seconds", 30.0), ("probe.times", 4), ("ema.decay", 0.999), ("log.every", 50), ("checkpoint.keep", 2)],
)
def test_the_defaults_that_are_promised_are_the_defaults(key, value, compose_config):
    node = compose_config(())
    for part in key.split("."):
        node = getattr(node, part)
    assert node == value


def test_an_error_has_as_many_lines_as_is_documented():
    assert LINES == 2 and "An error is one or two lines." in PAGES["docs/runs.md"]


# The examples of `--help` and of the heads of configs.


def examples() -> list[tuple[str, str]]:
    """Every example of a command's help, and of the first line of a config, without what stands beside it."""
    found = []
    for path in sorted(CONF.glob("*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        texts = [lines[0].partition(": ")[2], *(line.strip() for line in lines)]
        shown = [re.split(r"\s{2,}", text)[0] for text in texts if re.match(r"ganrun \w+ ", text + " ")]
        found += [(path.name, text) for text in shown if "GROUP=" not in text]
    return found


@pytest.mark.parametrize(("file", "command"), examples())
def test_an_example_can_be_typed_as_it_stands(file, command, inside, tmp_path):
    """A shell reads it as it is meant, and all that it sets can be composed."""
    read = subprocess.run(["bash", "-c", f"printf '%s\\n' {command}"], cwd=tmp_path, capture_output=True, text=True)
    assert read.returncode == 0, read.stderr
    command, *words = read.stdout.splitlines()[1:]
    settings = [word for word in words if "=" in word and not word.startswith("resume=")]
    if "-m" in words:
        assert all(compose(command, one) for one in jobs(settings))
    else:  # what stands without a = is a path, which is no setting of train
        shown = inside(command, *(settings if command in ("train", "bench") else words), "--cfg", "job", cwd=tmp_path)
        assert shown.returncode == 0, shown.stderr


def test_there_are_examples_for_every_command_that_takes_settings():
    listed = {command.split()[1] for _, command in examples()}
    assert listed == {"train", "sample", "eval", "jsd", "compare", "report", "reproduce", "export", "bench"}


# "Every choice is a YAML file under conf/; every number in it can be set on the command line."


def leaves(node: dict, prefix: str) -> dict[str, object]:
    """The settings of a YAML by dotted key."""
    found: dict[str, object] = {}
    for key, value in node.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def gan_hparams(path: Path) -> dict[str, object]:
    """The numbers of an option's YAML, by the key that sets them."""
    text = path.read_text(encoding="utf-8")
    package = re.match(r"# @package (\S+)", text)
    home = package[1] if package else path.parent.name
    node = {key: value for key, value in (yaml.safe_load(text) or {}).items() if key != "defaults"}
    found = leaves(node, "" if home == "_global_" else f"{home}.")
    return {key: value for key, value in found.items() if type(value) in (int, float)}


@pytest.mark.parametrize("group", sorted(path.name for path in CONF.iterdir() if path.is_dir()))
def test_every_number_of_an_option_can_be_set_on_the_command_line(group):
    paths = sorted((CONF / group).glob("*.yaml"))
    assert paths
    for path in paths:
        numbers = gan_hparams(path)
        # Twice each number, whether or not it would be allowed: here it is only set.
        words = [f"{key}={value * 2!r}" for key, value in numbers.items()]  # type: ignore[operator]
        found = leaves(compose("train", [f"{group}={path.stem}", *words]), "")
        assert {key: found[key] for key in numbers} == {key: value * 2 for key, value in numbers.items()}  # type: ignore[operator]
