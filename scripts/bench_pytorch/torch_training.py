"""Plain GAN training in PyTorch: the loop that a tutorial shows, without logging, averages or checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch  # pyright: ignore[reportMissingImports]
from torch.nn import functional as F  # pyright: ignore[reportMissingImports]

from bench_pytorch import networks
from bench_pytorch.problems import WEIGHTS, Problem

MODES, RADIUS, STD = 8, 2.0, 0.02  # of the ring
WARM_UP = 3  # steps before a CUDA graph is captured


class Trainer:
    """The networks and the optimizers of a problem.

    Args:
        problem: the problem.
        variant: ``eager``; ``compile``: both losses are compiled with torch.compile; ``graphs``: the whole step is
            captured as a CUDA graph.
        device: ``cpu`` or ``cuda``.
        images: uint8 ``(examples, channel, height, width)``; None for the ring.
    """

    def __init__(self, problem: Problem, variant: str, device: str, images: torch.Tensor | None = None) -> None:
        self.problem, self.device = problem, device
        layout = torch.channels_last if problem.channels_last else torch.contiguous_format
        self.images = None if images is None else images.to(device, memory_format=layout)
        shape = (2,) if images is None else tuple(images.shape[1:])
        built = networks.build(problem.networks, problem.latent, shape)
        self.generator, self.discriminator = (network.to(device, memory_format=layout) for network in built)
        graphs = variant == "graphs"
        self.optimizers, self.schedulers = [], []
        for network in built:
            # A graph reads the rate from the device.
            rate = torch.tensor(problem.rate, device=device) if graphs else problem.rate
            optimizer = torch.optim.Adam(network.parameters(), rate, problem.betas, fused=True, capturable=graphs)
            self.optimizers.append(optimizer)
            if problem.cosine:
                self.schedulers.append(torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, problem.cosine))
        angles = 2 * math.pi * torch.arange(MODES, device=device) / MODES
        self.centres = RADIUS * torch.stack([angles.cos(), angles.sin()], 1)
        self.order, self.offset = torch.zeros(0, dtype=torch.int64), 0
        self.draws = problem.k + (problem.loss == "relativistic")  # whose generator also sees data
        self.rows = torch.zeros(self.draws, problem.batch, dtype=torch.int64, device=device)
        compiled: Callable = torch.compile if variant == "compile" else (lambda function: function)
        self.discriminator_loss, self.generator_loss = (
            compiled(self._discriminator_loss),
            compiled(self._generator_loss),
        )
        self._update: Callable[[], None] = self._capture() if graphs else self._both_updates

    @property
    def parameters(self) -> int:
        """Number of parameters of both networks."""
        both = (*self.generator.parameters(), *self.discriminator.parameters())
        return sum(parameter.numel() for parameter in both)

    def step(self) -> None:
        """Make k updates of the discriminator, each on fresh data and noise, and one of the generator."""
        if self.images is not None:
            for i in range(self.draws):
                self.rows[i].copy_(self._next_rows(len(self.images)), non_blocking=True)
        self._update()
        for scheduler in self.schedulers:
            scheduler.step()

    def finish(self) -> None:
        """Wait for the device."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def _next_rows(self, examples: int) -> torch.Tensor:
        """Return the rows of the next minibatch of a random order, a new one in every epoch."""
        if self.offset + self.problem.batch > len(self.order):
            self.order, self.offset = torch.randperm(examples), 0
        self.offset += self.problem.batch
        return self.order[self.offset - self.problem.batch : self.offset]

    def _both_updates(self) -> None:
        for i in range(self.problem.k):
            self._update_discriminator(i)
        self._update_generator()

    def _update_discriminator(self, i: int) -> None:
        self.discriminator.requires_grad_(True)
        with torch.no_grad():
            fake = self.generator(self._noise())
        real = self._data(i)
        for name, x in (("r1", real), ("r2", fake)):
            x.requires_grad_(name in self.problem.penalties)
        self.optimizers[1].zero_grad()
        self.discriminator_loss(real, fake).backward()
        self.optimizers[1].step()

    def _update_generator(self) -> None:
        self.discriminator.requires_grad_(False)
        self.optimizers[0].zero_grad()
        real = self._data(-1) if self.problem.loss == "relativistic" else None
        self.generator_loss(self._noise(), real).backward()
        self.optimizers[0].step()

    def _noise(self) -> torch.Tensor:
        return torch.randn(self.problem.batch, self.problem.latent, device=self.device)

    def _data(self, i: int) -> torch.Tensor:
        if self.images is None:
            mode = torch.randint(MODES, (self.problem.batch,), device=self.device)
            return self.centres[mode] + STD * torch.randn(self.problem.batch, 2, device=self.device)
        return self.images[self.rows[i]].float() / 127.5 - 1.0

    def _discriminator_loss(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        penalties = self.problem.penalties
        real_logits, fake_logits = self.discriminator(real), self.discriminator(fake)
        if self.problem.loss == "wasserstein":
            loss = fake_logits.mean() - real_logits.mean()
        elif self.problem.loss == "relativistic":
            loss = F.softplus(fake_logits - real_logits).mean()
        else:
            loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        if "gradient_penalty" in penalties:
            between = torch.lerp(real, fake, torch.rand(len(real), 1, 1, 1, device=self.device)).requires_grad_()
            norms = squared_gradients(self.discriminator(between), between).sqrt()
            loss = loss + WEIGHTS["gradient_penalty"] * ((norms - 1.0) ** 2).mean()
        for name, logits, x in (("r1", real_logits, real), ("r2", fake_logits, fake)):
            if name in penalties:
                loss = loss + WEIGHTS[name] / 2 * squared_gradients(logits, x).mean()
        return loss

    def _generator_loss(self, noise: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
        fake_logits = self.discriminator(self.generator(noise))
        if self.problem.loss == "wasserstein":
            return -fake_logits.mean()
        if real is not None:
            return F.softplus(self.discriminator(real) - fake_logits).mean()
        return F.softplus(-fake_logits).mean()

    def _capture(self) -> Callable[[], None]:
        """Return a function that replays one step, captured as a CUDA graph."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._both_updates()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._both_updates()
        return graph.replay


def squared_gradients(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the squared norm of the gradient of each logit with respect to its row of ``x``, differentiable."""
    (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return gradient.flatten(1).square().sum(1)
