"""The reasons why ``ganrun eval`` does not count modes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from ganrun.evaluation.measurements import of_model


def test_modes_without_a_density_are_left_out_with_a_reason(monkeypatch) -> None:
    monkeypatch.setattr(of_model.Modes, "applies", lambda self, config: True)
    stacked = cast(Any, SimpleNamespace(context=SimpleNamespace(config=None, density=None)))
    assert of_model.modes_missing(stacked) == "modes that a classifier recognises are counted during training"
    mixture = cast(Any, SimpleNamespace(context=SimpleNamespace(config=None, density=object())))
    assert of_model.modes_missing(mixture) == ""
