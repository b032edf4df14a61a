"""Generators and discriminators, encoders and decoders. Importing this package registers every architecture option."""

from ganrun.architectures import autoencoder, dcgan, denoiser, dirac, maxout, mlp, r3gan, resnet
from ganrun.architectures.networks import Networks

__all__ = ["Networks", "autoencoder", "dcgan", "denoiser", "dirac", "maxout", "mlp", "r3gan", "resnet"]
