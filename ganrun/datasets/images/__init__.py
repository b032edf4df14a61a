"""Image datasets: published ones, which are downloaded and verified, and the user's own images."""

from ganrun.datasets.images.arrays import ImageArrays
from ganrun.datasets.images.cifar import Cifar10, Cifar100, CifarImages
from ganrun.datasets.images.digits import Digits
from ganrun.datasets.images.emnist import Emnist
from ganrun.datasets.images.folder import ImageFolder
from ganrun.datasets.images.huggingface import HuggingFace
from ganrun.datasets.images.mnist import FILES, LABEL_FILES, FashionMnist, IdxImages, Kmnist, Mnist
from ganrun.datasets.images.stacked import StackedMnist
from ganrun.datasets.images.zip import ImageZip

__all__ = [
    "FILES",
    "LABEL_FILES",
    "Cifar10",
    "Cifar100",
    "CifarImages",
    "Digits",
    "Emnist",
    "FashionMnist",
    "HuggingFace",
    "IdxImages",
    "ImageArrays",
    "ImageFolder",
    "ImageZip",
    "Kmnist",
    "Mnist",
    "StackedMnist",
]
