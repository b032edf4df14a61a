"""Importing this module registers every method."""

from ganrun.methods.gan import option

__all__ = ["option"]
