"""Regenerates the pictures of the README, with the commands shown there.

    python scripts/make_gallery.py [FOLDER=docs/gallery]

The screenshot of TensorBoard is taken by hand.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

RUNS = {
    "ring": ([], (0, 1600, 4800, 16000)),
    "digits": (["dataset=digits"], (0, 800, 2400, 8000)),
    "mixture1d": (["loss=minimax", "schedule.k=5", "dataset=mixture1d", "steps=4000"], (0, 400, 1200, 4000)),
}


def main() -> None:
    """Train each run in a temporary folder and concatenate its pictures at four steps."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/gallery")
    out.mkdir(parents=True, exist_ok=True)
    for name, (words, steps) in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "ganrun", "train", *words, f"hydra.run.dir={folder}/run"]
            subprocess.run(command, check=True)
            pictures = [Image.open(Path(folder) / "run" / "samples" / f"{step:08d}.png") for step in steps]
            strip(pictures).save(out / f"{name}.png", optimize=True)


def strip(pictures: Sequence[Image.Image]) -> Image.Image:
    """Return ``pictures``, all of the same size, side by side."""
    width, height = pictures[0].size
    sheet = Image.new("RGB", (width * len(pictures), height), "white")
    for i, picture in enumerate(pictures):
        sheet.paste(picture.convert("RGB"), (i * width, 0))
    return sheet.resize((1600, round(1600 * sheet.height / sheet.width)), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
