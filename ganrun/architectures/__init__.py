"""Generators and discriminators, encoders and decoders. Importing this package registers every architecture option."""

from ganrun.architectures import autoencoder, conv_autoencoder, dcgan, dirac, maxout, mlp, r3gan, resnet
from ganrun.architectures.networks import Networks

__all__ = ["Networks", "autoencoder", "conv_autoencoder", "dcgan", "dirac", "maxout", "mlp", "r3gan", "resnet"]
