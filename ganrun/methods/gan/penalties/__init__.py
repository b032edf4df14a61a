"""Penalties on the discriminator and constraints on its weights. Importing this package registers every option."""

from ganrun.methods.gan.penalties import consensus, constraints, gradients
from ganrun.methods.gan.penalties.base import Penalty, PenaltyInputs

__all__ = ["Penalty", "PenaltyInputs", "consensus", "constraints", "gradients"]
