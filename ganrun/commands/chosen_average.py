"""The choice of weights that several commands have: the trained ones, their moving average, or one of another width."""

from __future__ import annotations

from typing import Protocol

from ganrun.errors import ConfigError


class HasAverage(Protocol):
    """Settings of a command that reads the weights of a run."""

    @property
    def average(self) -> bool:
        """Whether they are the moving average."""
        ...

    @property
    def sigma_rel(self) -> float | None:
        """The relative width of the power-function average that is used instead; None for the exponential one."""
        ...


def require_one(request: HasAverage) -> None:
    """Raise :class:`ConfigError` if ``request`` asks for the trained weights and for an average of them."""
    if request.sigma_rel is not None and not request.average:
        raise ConfigError(f"sigma_rel={request.sigma_rel:g} is an average of the weights: leave out average=false.")
