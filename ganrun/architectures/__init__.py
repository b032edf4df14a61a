"""Generator and discriminator networks. Importing this package registers every architecture option."""

from ganrun.architectures import dcgan, dirac, maxout, mlp, r3gan, resnet
from ganrun.architectures.networks import Networks

__all__ = ["Networks", "dcgan", "dirac", "maxout", "mlp", "r3gan", "resnet"]
