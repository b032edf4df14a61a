"""Toys in the plane: today's best divergences, WGAN-GP, and the tables of PacGAN and VEEGAN."""

from __future__ import annotations

from collections.abc import Iterator

from ganrun.reproduce.experiments import experiment
from ganrun.reproduce.finding import Finding
from ganrun.reproduce.workspace import Workspace


def measured(
    workspace: Workspace, name: str, ranges: dict[str, tuple[str, float, float]], *words: str, seeds: int = 3
) -> Iterator[Finding]:
    """Train ``words`` and yield a finding for the last value of each tag.

    Args:
        workspace: of the experiment.
        name: of the row.
        ranges: by tag, the expected value as text and the range that agrees.
        words: settings.
        seeds: number of seeds.
    """
    runs = workspace.train(name.replace(" ", "_").replace(",", ""), *words, seeds=seeds)
    done = [run for run in runs if run.completed]
    for tag, (expected, low, high) in ranges.items():
        values = tuple(run.last(tag) for run in done)
        yield Finding(f"{name}: {tag}", expected, low, high, values, failed=len(runs) - len(done))
    if done:
        picture = ("sample", f"run={done[0].path}", "n=2000")
        workspace.picture(f"{name.replace(' ', '-').replace(',', '')}.png", f"Samples: {name}.", *picture)


@experiment(
    "ring-and-grid",
    "goals of this project: 0.05 nats on the ring and 0.10 on the grid; best GAN so far 0.085 and 0.160",
    "the smallest exact divergence of ring and grid, by a flow and by a GAN",
    (10.0, 15.0),
)
def ring_and_grid(workspace: Workspace) -> Iterator[Finding]:
    """Train the best known settings and measure the exact divergence."""
    seeds = workspace.choose(3, 5)
    for data, goal in (("ring", 0.05), ("grid", 0.10)):
        ranges = {"jsd/exact": (f"≤ {goal}", 0.0, goal)}
        yield from measured(
            workspace, f"spline flow on {data}", ranges, "experiment=spline", f"dataset={data}", seeds=seeds
        )
    for data, preset, usual, modes in (("ring", "ring", 0.085, 8), ("grid", "r3gan", 0.160, 25)):
        ranges = {
            "jsd/exact": (f"about {usual}", 0.0, usual + 0.02),
            "modes/covered": (f"{modes}", modes - 0.5, float(modes)),
        }
        yield from measured(workspace, f"GAN on {data}", ranges, f"experiment={preset}", seeds=seeds)


@experiment(
    "wgan-gp-toys",
    "Gulrajani et al. 2017, section on toy distributions (figures only)",
    "WGAN-GP covers all modes of ring and grid",
    (5.0, 20.0),
)
def wgan_gp_toys(workspace: Workspace) -> Iterator[Finding]:
    """Train WGAN-GP with the settings of the authors' code on ring and grid; quick has ten times the learning rate."""
    faster = [f"optimizer.{player}.learning_rate=0.001" for player in ("generator", "discriminator")]
    for data, modes, steps in (("ring", 8, 3000), ("grid", 25, 6000)):
        length = (f"steps={workspace.choose(steps, 40_000)}", *workspace.choose(faster, []))
        ranges = {"modes/covered": (f"{modes}", modes - 0.5, float(modes))}
        words = ("experiment=reproduce/wgan_gp_toys", f"dataset={data}", *length)
        yield from measured(workspace, f"WGAN-GP on {data}", ranges, *words)


PUBLISHED = {  # modes, percentage of high quality, mean of 10 trials ± standard error (Lin et al. 2018, Table 1)
    "ring": {1: ((6.3, 0.5), (98.2, None)), 2: ((7.9, 0.1), (95.6, None))},
    "grid": {1: ((17.3, 0.8), (94.8, None)), 2: ((23.8, 0.7), (91.3, None))},
}


@experiment(
    "pacgan-table1",
    "Lin et al. 2018, Table 1",
    "packing two samples makes GANs cover more modes of ring and grid, at the paper's own settings",
    (600.0, 2000.0),
    needs_gpu=True,
)
def pacgan_table1(workspace: Workspace) -> Iterator[Finding]:
    """Train ten seeds of GAN and of PacGAN2 as populations, for 400 epochs of 100 000 points."""
    for data, rows in PUBLISHED.items():
        for packing, ((modes, error), (quality, _)) in rows.items():
            name = f"{'GAN' if packing == 1 else f'PacGAN{packing}'} on {data}"
            radius = ("dataset.radius=1.0", "dataset.std=0.01") if data == "ring" else ()
            words = ("experiment=reproduce/pacgan_table1", f"dataset={data}", *radius, f"inputs.packing={packing}")
            width = 1.96 * error
            ranges = {
                "modes/covered": (f"{modes} ± {error}", modes - width, modes + width),
                "modes/high_quality": (f"{quality} %", quality / 100 - 0.05, quality / 100 + 0.05),
            }
            yield from measured(workspace, name, ranges, *words, seeds=10)


@experiment(
    "veegan-table",
    "Srivastava et al. 2017, Table 1; its GAN has 1 mode on the ring, that of Lin et al. 2018 has 6.3",
    "the published mode counts of the same baseline contradict each other: they depend on the settings",
    (2.0, 5.0),
)
def veegan_table(workspace: Workspace) -> Iterator[Finding]:
    """Train the GAN of the defaults on the ring, and one whose generator is updated too often."""
    steps = f"steps={workspace.choose(4000, 16_000)}"
    ranges = {"modes/covered": ("6.3 (PacGAN's baseline) or more", 6.3, 8.0)}
    yield from measured(workspace, "GAN with usual settings", ranges, "dataset=ring", steps)
    ranges = {"modes/covered": ("1 (VEEGAN's baseline)", 0.0, 1.0)}
    more = ("dataset=ring", "schedule.generator_steps=10", "steps=1500")
    constant = tuple(f"optimizer.{player}.decay=constant" for player in ("generator", "discriminator"))
    yield from measured(workspace, "GAN, 10 generator updates per step", ranges, *more, *constant, "ema.decay=0")
