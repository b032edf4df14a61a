"""The GAN as a method: Algorithm 1, and what can be asked of a trained generator, encoder and discriminator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import expit

from ganrun.architectures.layers import with_convolutions
from ganrun.datasets.sampler import Cursor, Source
from ganrun.keys import key_for
from ganrun.methods.base import Batches, Inspection, Method, Metrics, Progress
from ganrun.methods.gan import algorithm
from ganrun.methods.gan.calibration import calibrate, calibrated_probabilities
from ganrun.methods.gan.networks import Conditioning, draw_data, draw_labels, pack, scores
from ganrun.methods.gan.state import GanModel, GanSpec, Tree
from ganrun.methods.generators import rank_of
from ganrun.methods.precision import unwrapped
from ganrun.priors import Prior

LOGITS = 512  # examples per distribution in the histograms of logits, so that a picture of DCGAN takes under a second


@dataclass(frozen=True)
class Gan(Method):
    """A generative adversarial network.

    Attributes:
        spec: its static settings.
        shape: shape of one example.
    """

    HISTOGRAMS: ClassVar[tuple[str, ...]] = ("logits/real", "logits/fake")
    MODEL: ClassVar[str] = "generator"
    NOT_WEIGHTS: ClassVar[tuple[str, ...]] = ("optimizer", "updates", "gradient_square")

    spec: GanSpec
    shape: tuple[int, ...]

    @property
    def batch_size(self) -> int:  # type: ignore[override]
        return self.spec.batch_size

    @property
    def classes(self) -> int:  # type: ignore[override]
        return self.spec.classes

    @property
    def prior(self) -> Prior:
        return Prior(self.spec.prior, self.spec.latent_dim)

    @property
    def tags(self) -> tuple[str, ...]:
        return self.spec.tags

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({"decode", "push", "encode"} if self.spec.has_encoder else {"decode", "push"})

    @property
    def rank(self) -> int:
        """The width of the narrowest layer of the generator."""
        generator = unwrapped(self.spec.generator)
        return rank_of(generator.generator if self.spec.has_encoder else generator, self.spec.latent_dim, self.shape)

    def init(self, key: jax.Array, hparams: Tree, example: jax.Array) -> GanModel:
        return algorithm.create(self.spec, hparams, key, example)

    def step(
        self, model: GanModel, batches: Batches, key: jax.Array, hparams: Tree, progress: Progress
    ) -> tuple[GanModel, Cursor, Metrics]:
        return algorithm.step(self.spec, model, batches, key, hparams, progress)

    def variables(self, model: GanModel, average: bool = True) -> Tree:
        return model.average if average else model.generator.variables

    def networks(self, model: GanModel, average: bool = True) -> dict[str, Tree]:
        variables = self.variables(model, average)
        networks = {"generator": variables}
        if self.spec.has_encoder:
            networks = {
                network: {name: part[network] for name, part in variables.items() if network in part}
                for network in ("generator", "encoder")
            }
        return networks | {"discriminator": model.discriminator.variables}

    def sample(
        self, variables: Tree, hparams: Tree, key: jax.Array, n: int, labels: jax.Array | None = None
    ) -> jax.Array:
        conditioning = draw_labels(self.spec, hparams, key_for(key, "labels"), n) if labels is None else {"y": labels}
        return self._generate(variables, self.prior.draw(key_for(key, "noise"), n), conditioning)

    def decode(self, variables: Tree, latents: jax.Array, labels: jax.Array | None = None) -> jax.Array:
        return self._generate(variables, latents, {} if labels is None else {"y": labels})

    def _generate(self, variables: Tree, latents: jax.Array, conditioning: Conditioning) -> jax.Array:
        return self.spec.generator.apply(variables, latents, train=False, **conditioning)  # type: ignore[return-value]

    def decoder(self, variables: Tree) -> tuple[Any, Tree]:
        generator = unwrapped(self.spec.generator)
        if not self.spec.has_encoder:
            return generator, variables
        return generator.generator, {name: part["generator"] for name, part in variables.items() if part}

    def encode(self, variables: Tree, x: jax.Array) -> jax.Array:
        return self.spec.generator.apply(variables, x, train=False, method="encode")  # type: ignore[return-value]

    def inspect(
        self, model: GanModel, hparams: Tree, held_out: Source, key: jax.Array, points: jax.Array
    ) -> dict[str, jax.Array]:
        """Return the discriminator's logits on held-out data, on samples and at ``points``, with the labels of both.

        There are :data:`LOGITS` logits each; fewer if the held-out set is smaller. Labels are empty unless the GAN is
        class-conditional.
        """
        spec = self.spec
        rows = getattr(held_out, "flat", None)
        size = LOGITS if rows is None else min(LOGITS, rows.shape[0])
        size -= size % spec.packing
        real, real_labels, _ = draw_data(spec, held_out, key_for(key, "data"), Cursor.start(), size)
        fake_key = key_for(key, "samples for the discriminator")
        fake_labels = draw_labels(spec, hparams, key_for(fake_key, "labels"), size)
        fake = self._generate(model.average, self.prior.draw(key_for(fake_key, "noise"), size), fake_labels)
        discriminator = partial(self._discriminator_output, model)
        fake_output = discriminator(fake, fake_labels)
        empty = jnp.zeros((0,), jnp.float32)

        def score(output: jax.Array) -> jax.Array:
            return scores(spec, output, fake_output)[0]

        return {
            "logits/real": score(discriminator(real, real_labels)),
            "logits/fake": score(fake_output),
            "labels/real": real_labels.get("y", empty),
            "labels/fake": fake_labels.get("y", empty),
            "field": score(discriminator(points, {})) if points.shape[0] and self._has_field else empty,
        }

    @property
    def _has_field(self) -> bool:
        """Whether D(x) is a function of a point x: not for a packed or a class-conditional discriminator."""
        return self.spec.packing == 1 and not self.spec.classes

    def _discriminator_output(self, model: GanModel, x: jax.Array, labels: Conditioning) -> jax.Array:
        """Apply the discriminator to ``x``, packed, with an encoder also to the averaged encoder's latents for it."""
        conditioning = labels
        if self.spec.has_encoder:
            conditioning = labels | {"z": self.encode(model.average, x)}
        packed = pack(x, self.spec.packing)
        return self.spec.discriminator.apply(  # type: ignore[return-value]
            model.discriminator.variables, packed, train=False, **conditioning
        )

    def read(self, arrays: Mapping[str, np.ndarray]) -> Inspection:
        """Return the discriminator's mean output per class and its calibrated probabilities, and its logits as field.

        The logits of a critic are calibrated, so that the field shows probabilities for every loss.
        """
        output_type = self.spec.loss.output_type
        real, fake, field = arrays["logits/real"], arrays["logits/fake"], arrays["field"]
        scalars = by_class(arrays, self.spec.classes, output_type)
        if output_type == "probability":
            return Inspection(scalars, field, "D(x)")
        scalars |= calibrated_probabilities(real, fake)
        scale, offset = calibrate(real, fake)
        return Inspection(scalars, scale * np.asarray(field, np.float64) + offset, "D(x), calibrated")

    def in_float32(self) -> Gan:
        return replace(self, spec=replace(self.spec, generator=unwrapped(self.spec.generator)))

    def for_export(self) -> Gan:
        return self._with_convolutions("xla")

    def for_population(self) -> Gan:
        return self._with_convolutions("matmul")

    def _with_convolutions(self, form: str) -> Gan:
        """Return the GAN with every convolution whose form is chosen by the backend in ``form``."""
        networks = {name: with_convolutions(getattr(self.spec, name), form) for name in ("generator", "discriminator")}
        return replace(self, spec=replace(self.spec, **networks))


def by_class(arrays: Mapping[str, np.ndarray], classes: int, output_type: str) -> dict[str, float]:
    """Return the discriminator's mean output per class: its mean probability, or its mean score."""
    tags = ("D(x)", "D(G(z))") if output_type == "probability" else ("critic/real", "critic/fake")
    result = {}
    for tag, name in zip(tags, ("real", "fake"), strict=True):
        logits, labels = arrays[f"logits/{name}"], arrays[f"labels/{name}"]
        outputs = expit(logits) if output_type == "probability" else logits
        of_class = {label: outputs[labels == label] for label in range(classes)}
        result |= {f"{tag}/class_{label}": float(part.mean()) for label, part in of_class.items() if part.size}
    return result
