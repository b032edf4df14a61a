"""The problems of bench_vs_pytorch.py: settings of `ganrun train`, and of the same training in PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLUGIN = HERE / "plugin"  # the folder with the package bench_images, the dataset of random images

WEIGHTS = {"gradient_penalty": 10.0, "r1": 0.1, "r2": 0.1}  # of the penalties: λ, and γ
MNIST = ("dataset=mnist", "dataset.download=false")
RANDOM = ("plugins=[bench_images]", "dataset=random_images")
WGAN_GP = (
    "loss=wasserstein",
    "penalty=gradient_penalty",
    "schedule.k=5",
    *(f"optimizer.{network}.learning_rate=1e-4" for network in ("generator", "discriminator")),
    *(f"optimizer.{network}.b1=0.0" for network in ("generator", "discriminator")),
    *(f"optimizer.{network}.b2=0.9" for network in ("generator", "discriminator")),
)
R3GAN = (
    "loss=relativistic",
    "penalty=[r1,r2]",
    "optimizer.generator.b1=0.0",
    "optimizer.discriminator.b1=0.0",
)


@dataclass(frozen=True)
class Problem:
    """One problem in both.

    Attributes:
        title: its name in the tables.
        overrides: the settings of `ganrun train`.
        networks: the architecture in :mod:`networks`.
        latent: dimension of the latent.
        batch: examples per minibatch.
        rate: learning rate of both Adam optimizers.
        betas: their decay rates.
        cosine: steps over which the rate decays to zero along a cosine; 0: it is constant.
        loss: ``nonsaturating``, ``wasserstein`` or ``relativistic``.
        penalties: ``gradient_penalty``, ``r1``, ``r2``.
        k: discriminator updates per generator update.
        channels_last: whether PyTorch stores images with the channels last, where it is faster so on a CPU.
    """

    title: str
    overrides: tuple[str, ...]
    networks: str
    latent: int = 100
    batch: int = 64
    rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    cosine: int = 0
    loss: str = "nonsaturating"
    penalties: tuple[str, ...] = ()
    k: int = 1
    channels_last: bool = False


PROBLEMS = {
    "ring": Problem("ring, MLP", (), "mlp_points", 2, 512, 1e-3, (0.5, 0.99), cosine=16_000),
    "mnist_mlp": Problem("MNIST, MLP", (*MNIST, "architecture=mlp"), "mlp_images"),
    "dcgan28": Problem("MNIST 28x28, DCGAN", (*MNIST, "architecture=dcgan"), "dcgan", channels_last=True),
    "dcgan32": Problem("random 32x32x3, DCGAN", (*RANDOM, "architecture=dcgan"), "dcgan", channels_last=True),
    "resnet": Problem(
        "MNIST, ResNet, WGAN-GP, k=5",
        (*MNIST, "architecture=resnet", *WGAN_GP),
        "resnet",
        rate=1e-4,
        betas=(0.0, 0.9),
        loss="wasserstein",
        penalties=("gradient_penalty",),
        k=5,
        channels_last=True,
    ),
    "r3gan": Problem(
        "MNIST, R3GAN, R1 + R2",
        (*MNIST, "architecture=r3gan", *R3GAN),
        "r3gan",
        betas=(0.0, 0.999),
        loss="relativistic",
        penalties=("r1", "r2"),
    ),
}
