"""The settings that a finding suggests: as they are typed on the command line of a shell."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from ganrun.methods.gan.diagnostics.detectors import DETECTORS
from ganrun.methods.gan.diagnostics.suggestions import paired, penalty


def test_a_list_is_in_quotes_and_a_single_name_is_not(tiny_config):
    assert penalty("r1", "r2")(tiny_config, 1) == "'penalty=[r1,r2]'"
    assert penalty("r1")(tiny_config, 1) == "penalty=r1"
    assert paired(tiny_config, 1) == "loss=relativistic 'penalty=[r1,r2]'"


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_a_shell_passes_a_suggestion_on_unchanged_whatever_files_there_are(
    detector, tiny_config, compose_config, tmp_path
):
    (tmp_path / "penalty=r").touch()  # a file name that the pattern penalty=[r1,r2] has
    for suggestion in filter(None, (suggest(tiny_config, 500) for suggest in detector.suggestions)):
        script = f"printf '%s\\n' {suggestion}"
        read = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert read.stdout.splitlines() == shlex.split(suggestion)
        compose_config(read.stdout.splitlines())  # they are settings of a run
