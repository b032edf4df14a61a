"""Generators and discriminators, encoders and decoders, autoregressive networks, flows.

Importing this package registers every architecture option.
"""

from ganrun.architectures import (
    autoencoder,
    conv_autoencoder,
    dcgan,
    denoiser,
    dirac,
    masked_mlp,
    maxout,
    mlp,
    pixelcnn,
    r3gan,
    r3gan2,
    resnet,
)
from ganrun.architectures.flow import options as flow_options
from ganrun.architectures.networks import Networks

__all__ = [
    "Networks",
    "autoencoder",
    "conv_autoencoder",
    "dcgan",
    "denoiser",
    "dirac",
    "flow_options",
    "masked_mlp",
    "maxout",
    "mlp",
    "pixelcnn",
    "r3gan",
    "r3gan2",
    "resnet",
]
