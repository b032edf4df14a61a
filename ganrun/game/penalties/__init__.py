"""Penalties on the discriminator and constraints of its weights; importing this package registers every option."""

from ganrun.game.penalties import consensus, constraints, gradients
from ganrun.game.penalties.base import Match, Penalty

__all__ = ["Match", "Penalty", "consensus", "constraints", "gradients"]
