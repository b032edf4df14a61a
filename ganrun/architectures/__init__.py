"""Generators and discriminators, encoders and decoders. Importing this package registers every architecture option."""

from ganrun.architectures import autoencoder, dcgan, dirac, maxout, mlp, r3gan, resnet
from ganrun.architectures.flow import options as flow_options
from ganrun.architectures.networks import Networks

__all__ = ["Networks", "autoencoder", "dcgan", "dirac", "flow_options", "maxout", "mlp", "r3gan", "resnet"]
