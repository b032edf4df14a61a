"""Generators and discriminators, side by side; importing this package registers every architecture option."""

from ganrun.architectures import dcgan, maxout, mlp
from ganrun.architectures.networks import Networks

__all__ = ["Networks", "dcgan", "maxout", "mlp"]
