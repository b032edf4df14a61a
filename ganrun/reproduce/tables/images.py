"""Tables on images, which need a GPU: Parzen windows on MNIST, and the modes of stacked MNIST."""

from __future__ import annotations

from collections.abc import Iterator

from ganrun.reproduce.experiments import experiment
from ganrun.reproduce.finding import Finding
from ganrun.reproduce.tables.toys import measured
from ganrun.reproduce.workspace import Workspace


@experiment(
    "parzen-mnist",
    "Goodfellow et al. 2014, Table 1",
    "the log-likelihood of MNIST under Parzen windows around the samples of the first GAN",
    (600.0, 1500.0),
    needs_gpu=True,
)
def parzen_mnist(workspace: Workspace) -> Iterator[Finding]:
    """Train the paper's maxout GAN and score it with ``ganrun eval``."""
    runs = workspace.train("runs", "experiment=goodfellow2014", seeds=3)
    done = [run for run in runs if run.completed]
    values = []
    for i, run in enumerate(done):
        words = ("eval", f"run={run.path}", "n=10000", "metrics=[parzen]", "format=json")
        (evaluation,) = workspace.output(f"eval_{i}", *words)["evaluations"]
        values.append(float(evaluation["metrics"]["parzen"]["value"]))
    failed = len(runs) - len(done)
    yield Finding("Parzen log-likelihood of MNIST, nats", "225 ± 2", 221.0, 229.0, tuple(values), failed=failed)


@experiment(
    "stacked-mnist",
    "Lin et al. 2018, Table 2; Huang et al. 2024, Table 1",
    "the number of the 1000 modes of stacked MNIST that each loss covers",
    (600.0, 1500.0),
    needs_gpu=True,
)
def stacked_mnist(workspace: Workspace) -> Iterator[Finding]:
    """Train DCGAN, DCGAN with packing, and RpGAN with R1 and R2."""
    data = ("dataset=stacked_mnist",)
    ranges = {"modes/covered": ("78.9 ± 6.5", 66.0, 92.0), "modes/kl": ("4.50", 4.0, 5.0)}
    yield from measured(workspace, "DCGAN", ranges, *data, "architecture=dcgan")
    ranges = {"modes/covered": ("1000", 990.0, 1000.0), "modes/kl": ("0.06", 0.0, 0.2)}
    yield from measured(workspace, "DCGAN with packing 2", ranges, *data, "architecture=dcgan", "inputs.packing=2")
    ranges = {"modes/covered": ("1000", 999.0, 1000.0), "modes/kl": ("0.0781", 0.0, 0.15)}
    words = ("architecture=r3gan", "loss=relativistic", "penalty=[r1,r2]")
    yield from measured(workspace, "RpGAN with R1 and R2", ranges, *data, *words)
