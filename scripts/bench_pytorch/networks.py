"""The networks of the problems in PyTorch, with the layers and sizes of ganrun's, as PyTorch's own layers."""

from __future__ import annotations

import itertools

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional as F  # pyright: ignore[reportMissingImports]

SLOPE = 0.2  # negative slope of all leaky ReLUs


def build(name: str, latent: int, shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module]:
    """Return the generator and the discriminator ``name``.

    Args:
        name: of the architecture, in :data:`ARCHITECTURES`.
        latent: dimension of the latent.
        shape: of one example, ``(dim,)`` or ``(channel, height, width)``.
    """
    return ARCHITECTURES[name](latent, shape)


def base_and_stages(side: int) -> tuple[int, int]:
    """Return ``(base, n)`` with side = base * 2**n and base at most 7."""
    stages = 0
    while side > 7:
        side, stages = side // 2, stages + 1
    return side, stages


def dense_layers(sizes: list[int], batch_norm: bool = False) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        layers.append(nn.Linear(inputs, outputs))
        if batch_norm and i > 0:
            layers.append(nn.BatchNorm1d(outputs))
        layers.append(nn.LeakyReLU(SLOPE))
    return layers


def mlp_points(latent: int, shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module]:
    hidden = [64, 64, 64]
    generator = nn.Sequential(*dense_layers([latent, *hidden]), nn.Linear(64, shape[0]))
    return generator, nn.Sequential(*dense_layers([shape[0], *hidden]), nn.Linear(64, 1), nn.Flatten(0))


def mlp_images(latent: int, shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module]:
    pixels = shape[0] * shape[1] * shape[2]
    hidden = dense_layers([latent, 256, 512, 1024], batch_norm=True)
    generator = nn.Sequential(*hidden, nn.Linear(1024, pixels), nn.Tanh(), nn.Unflatten(1, shape))
    discriminator = nn.Sequential(nn.Flatten(), *dense_layers([pixels, 512, 256]), nn.Linear(256, 1), nn.Flatten(0))
    return generator, discriminator


def dcgan(latent: int, shape: tuple[int, ...], width: int = 64) -> tuple[nn.Module, nn.Module]:
    base, stages = base_and_stages(shape[1])
    widths = [width * 2**stage for stage in range(stages)]
    widest = widths[-1]
    layers: list[nn.Module] = [nn.Linear(latent, widest * base**2), nn.Unflatten(1, (widest, base, base))]
    layers += [nn.BatchNorm2d(widest), nn.ReLU()]
    for inputs, outputs in zip(widths[:0:-1], widths[-2::-1], strict=True):
        layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
    generator = nn.Sequential(*layers, nn.ConvTranspose2d(width, shape[0], 4, 2, 1), nn.Tanh())
    layers = [nn.Conv2d(shape[0], width, 4, 2, 1), nn.LeakyReLU(SLOPE)]
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE)]
    discriminator = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widest * base**2, 1), nn.Flatten(0))
    for network in (generator, discriminator):
        network.apply(_dcgan_init)
    return generator, discriminator


def _dcgan_init(layer: nn.Module) -> None:
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(layer.weight, 0.0, 0.02)


class UpBlock(nn.Module):
    """A residual block of the generator that doubles the side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)])
        self.convs = nn.ModuleList(
            [nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)]
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.interpolate(F.relu(self.norms[0](x)), scale_factor=2)
        h = self.convs[1](F.relu(self.norms[1](self.convs[0](h))))
        return h + F.interpolate(self.shortcut(x), scale_factor=2)


class DownBlock(nn.Module):
    """A residual block of the discriminator, which may halve the side."""

    def __init__(self, inputs: int, outputs: int, halve: bool, first: bool = False) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)]
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if halve else nn.Identity()
        self.halve, self.first = halve, first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.convs[1](F.relu(self.convs[0](x if self.first else F.relu(x))))
        if self.halve:
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        return h + self.shortcut(x)


class MeanOverPositions(nn.Module):
    """The mean over height and width."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


def resnet(latent: int, shape: tuple[int, ...], width: int = 32) -> tuple[nn.Module, nn.Module]:
    base, stages = base_and_stages(shape[1])
    widest = width * 2**stages
    up = [UpBlock(min(widest, width * 2 ** (stage + 1)), width * 2**stage) for stage in reversed(range(stages))]
    generator = nn.Sequential(
        nn.Linear(latent, widest * base**2),
        nn.Unflatten(1, (widest, base, base)),
        *up,
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, shape[0], 3, padding=1),
        nn.Tanh(),
    )
    widths = [shape[0], *(width * 2**stage for stage in range(stages))]
    down = [DownBlock(widths[i], widths[i + 1], halve=True, first=i == 0) for i in range(stages)]
    last = DownBlock(widths[-1], widths[-1], halve=False)
    head = (nn.ReLU(), MeanOverPositions(), nn.Linear(widths[-1], 1), nn.Flatten(0))
    return generator, nn.Sequential(*down, last, *head)


class Bottleneck(nn.Module):
    """x plus a branch of 1x1, grouped 3x3 and 1x1 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = 2 * channels
        self.inside = nn.Conv2d(channels, inner, 1)
        self.grouped = nn.Conv2d(inner, inner, 3, padding=1, groups=inner // 16)
        self.outside = nn.Conv2d(inner, channels, 1, bias=False)
        nn.init.zeros_(self.outside.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.leaky_relu(self.inside(x), SLOPE)
        return x + self.outside(F.leaky_relu(self.grouped(h), SLOPE))


class R3ganGenerator(nn.Module):
    """A learned map scaled by the latent, then blocks with bilinear upsampling."""

    def __init__(self, latent: int, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        base, stages = base_and_stages(shape[1])
        widths = [width * 2**stage for stage in reversed(range(stages + 1))]
        self.basis = nn.Parameter(torch.randn(widths[0], base, base))
        self.dense = nn.Linear(latent, widths[0])
        self.blocks = nn.ModuleList([Bottleneck(channels) for channels in widths])
        pairs = itertools.pairwise(widths)
        self.narrow = nn.ModuleList([nn.Conv2d(inputs, outputs, 1, bias=False) for inputs, outputs in pairs])
        self.last = nn.Conv2d(width, shape[0], 1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = self.blocks[0](self.basis * self.dense(z)[:, :, None, None])
        for narrow, block in zip(self.narrow, self.blocks[1:], strict=True):
            x = block(F.interpolate(narrow(x), scale_factor=2, mode="bilinear", align_corners=False))
        return torch.tanh(self.last(x))


class R3ganDiscriminator(nn.Module):
    """Blocks with average pooling, and a learned weighted sum over positions."""

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        base, stages = base_and_stages(shape[1])
        widths = [width * 2**stage for stage in range(stages + 1)]
        self.first = nn.Conv2d(shape[0], width, 1)
        self.blocks = nn.ModuleList([Bottleneck(channels) for channels in widths])
        pairs = itertools.pairwise(widths)
        self.widen = nn.ModuleList([nn.Conv2d(inputs, outputs, 1, bias=False) for inputs, outputs in pairs])
        self.basis = nn.Parameter(torch.randn(widths[-1], base, base) / base)
        self.head = nn.Linear(widths[-1], 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks[0](self.first(x))
        for widen, block in zip(self.widen, self.blocks[1:], strict=True):
            x = block(widen(F.avg_pool2d(x, 2)))
        return self.head((x * self.basis).sum((2, 3)))[:, 0]


def r3gan(latent: int, shape: tuple[int, ...], width: int = 32) -> tuple[nn.Module, nn.Module]:
    return R3ganGenerator(latent, shape, width), R3ganDiscriminator(shape, width)


ARCHITECTURES = {
    "mlp_points": mlp_points,
    "mlp_images": mlp_images,
    "dcgan": dcgan,
    "resnet": resnet,
    "r3gan": r3gan,
}
