"""``method=gan``: a GAN's settings as they are chosen in a config, and the metrics that it logs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ganrun.config.registry import register
from ganrun.config.settings import PRECISIONS, Train
from ganrun.methods.detection import Detector
from ganrun.methods.experiment import Experiment
from ganrun.methods.gan.annealing import jumps
from ganrun.methods.gan.diagnostics.detectors import DETECTORS
from ganrun.methods.gan.gan import Gan
from ganrun.methods.gan.spec import cautions, gan_hparams, gan_spec
from ganrun.methods.gan.state import OUTPUT_METRICS, tags
from ganrun.methods.gan.transport import TAGS
from ganrun.methods.method_option import MethodOption, TagFamily
from ganrun.methods.metric_spec import AT_LEAST_0, EVERYWHERE, SHARE, Chart, MetricSpec

READ_AS = {"probability": "as a probability", "critic": "as a critic's score", "pair": "in pairs of data and samples"}


@register("method", "gan")
@dataclass(frozen=True)
class GanOption(MethodOption):
    """A generator and a discriminator trained against each other; samples in one pass, without a density.

    Formula: min over G, max over D of V(D, G) = E log D(x) + E log(1 - D(G(z)))
    Paper: Goodfellow et al. 2014, "Generative adversarial nets", Algorithm 1.
    """

    SECTIONS: ClassVar[frozenset[str]] = frozenset(
        {
            "architecture",
            "loss",
            "penalty",
            "schedule",
            "inputs",
            "generator_update",
            "optimizer.discriminator",
            "latent",
        }
    )
    SPECS: ClassVar[tuple[MetricSpec, ...]] = (
        MetricSpec("jsd/online", "(V + log 4)/2 of the training discriminator; not a divergence", "nats"),
        MetricSpec("D(x)", "mean probability of being real that D assigns to data", shown=EVERYWHERE, bounds=SHARE),
        MetricSpec(
            "D(G(z))", "mean probability of being real that D assigns to samples", shown=EVERYWHERE, bounds=SHARE
        ),
        MetricSpec("value", "the game value V", "nats", shown=EVERYWHERE),
        MetricSpec("critic/real", "mean output of the critic on data", shown=EVERYWHERE),
        MetricSpec("critic/fake", "mean output of the critic on samples", shown=EVERYWHERE),
        MetricSpec("value/pair", "the game value over pairs of data and samples", "nats", shown=EVERYWHERE),
        MetricSpec(
            "D(x)/calibrated",
            "calibrated probability that data are real, from the scores of a critic",
            shown=("line", "table"),
        ),
        MetricSpec(
            "D(G(z))/calibrated",
            "calibrated probability that samples are real, from the scores of a critic",
            shown=("line", "table"),
        ),
        MetricSpec("D(x)/*", "D(x) by class"),
        MetricSpec("D(G(z))/*", "D(G(z)) by class"),
        MetricSpec("critic/real/*", "mean output of the critic on data of a class"),
        MetricSpec("critic/fake/*", "mean output of the critic on samples of a class"),
        MetricSpec("loss/*", "loss that the network minimises", shown=("line",)),
        MetricSpec("grad_norm/*", "Euclidean norm of the gradient", bounds=AT_LEAST_0),
        MetricSpec("penalty/*", "term that the penalty adds to the discriminator's loss"),
        MetricSpec(
            "transport/cost",
            "mean square of the elements of samples minus latents, in units of the model",
            bounds=AT_LEAST_0,
        ),
        MetricSpec("transport/weight", "weight of the transport term in the generator's update"),
        MetricSpec("schedule/k", "discriminator updates per step"),
    )

    PRECISIONS: ClassVar[tuple[str, ...]] = PRECISIONS

    CHARTS: ClassVar[tuple[Chart, ...]] = (
        Chart(
            "D(x) and D(G(z))",
            {
                "D(x)": "D_on_data",
                "D(G(z))": "D_on_samples",
                "D(x)/calibrated": "D_on_data_calibrated",
                "D(G(z))/calibrated": "D_on_samples_calibrated",
            },
            ("one_half", 0.5),
        ),
    )

    name: str = "gan"

    def build(self, config: Train, shape: tuple[int, ...]) -> Gan:
        return Gan(gan_spec(config, shape), tuple(shape))

    def hparams(self, config: Train, train: Any = None) -> dict[str, Any]:
        return gan_hparams(config, train)

    def examples_per_step(self, config: Train) -> int:
        loss, schedule = config.loss, config.schedule
        for_generator = (
            loss.generator_sees_data
            or config.inference != "none"
            or any(penalty.for_generator for penalty in config.penalty)
        )
        updates = schedule.most_discriminator_steps() + config.generator_update.unrolled
        return config.batch_size * (updates + schedule.generator_steps * for_generator)

    def tag_families(self, config: Train) -> Iterator[TagFamily]:
        own = tags(config.loss.output_type)
        yield (*own, *(f"penalty/{penalty.name}" for penalty in config.penalty if penalty.reports)), ""
        others = tuple(tag for output_metrics in OUTPUT_METRICS.values() for tag in output_metrics if tag not in own)
        off = "" if config.generator_update.transports else "generator_update.transport is 0"
        yield TAGS, off
        yield others, f"loss={config.loss.name} reads the discriminator's output {READ_AS[config.loss.output_type]}"

    def snapshot_families(self, config: Train) -> Iterator[TagFamily]:
        probability = config.loss.output_type == "probability"
        gives = f"loss={config.loss.name} gives a probability already" if probability else ""
        yield ("D(x)/calibrated", "D(G(z))/calibrated"), gives
        outputs = ("D(x)", "D(G(z))") if probability else ("critic/real", "critic/fake")
        classes = config.dataset.classes if config.conditional else 0
        yield tuple(f"{output}/class_{label}" for output in outputs for label in range(classes)), ""

    def cautions(self, experiment: Experiment) -> Sequence[str]:
        return cautions(experiment)

    def jumps(self, before: Train, now: Train, step: int) -> str | None:
        return jumps(before, now, step)

    def detectors(self) -> Sequence[Detector]:
        return DETECTORS

    def lag(self, config: Train) -> float:
        # The moving average is updated once per step, however many generator updates a step has.
        return 1 / (1 - config.ema.decay)
