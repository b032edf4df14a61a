"""Runs the commands of docs/tutorial.md as they stand there, and keeps their pictures in docs/gallery/tutorial/.

    python scripts/make_tutorial.py [out=docs/gallery/tutorial] [keep=FOLDER]

What the commands print goes to standard output. Pictures are made smaller: at most 900 pixels wide, with 64 colours.
`keep` is the folder that the commands run in, instead of a temporary one.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image, ImageSequence

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tutorial.md"
WIDTH, COLOURS = 900, 64
FILM = {"width": 480, "quality": 45}  # of a film, which has many pictures


def commands(text: str) -> list[list[str]]:
    """Return the words of each ganrun command of a page, without ``ganrun``."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("ganrun ")]


def pictures(words: list[str]) -> list[str]:
    """Return the pictures that a command writes."""
    values = [word.partition("=")[2] for word in words if word.startswith(("out=", "picture="))]
    return [value for value in values if value.endswith((".png", ".webp"))]


def shrink(source: Path, target: Path) -> None:
    """Write the picture or film ``source`` to ``target``, smaller."""
    with Image.open(source) as image:
        width = min(FILM["width"] if target.suffix == ".webp" else WIDTH, image.width)
        size = (width, round(width * image.height / image.width))
        frames = [
            frame.convert("RGB").resize(size, Image.Resampling.LANCZOS) for frame in ImageSequence.Iterator(image)
        ]
        duration = image.info.get("duration", 300)
    if target.suffix == ".webp":
        more: dict[str, Any] = {"duration": duration, "loop": 0, "quality": FILM["quality"], "method": 6}
        frames[0].save(target, save_all=True, append_images=frames[1:], **more)
    else:
        frames[0].quantize(COLOURS).save(target, optimize=True)


def main() -> None:
    """Run the commands one after another and write their pictures to the folder ``out``."""
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    out = Path(given.get("out", PAGE.parent / "gallery" / "tutorial"))
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(given.get("keep", scratch))
        folder.mkdir(parents=True, exist_ok=True)
        for words in commands(PAGE.read_text(encoding="utf-8")):
            print(f"$ ganrun {shlex.join(words)}", flush=True)
            subprocess.run([sys.executable, "-m", "ganrun", *words], cwd=folder, check=True)
            for name in pictures(words):
                shrink(folder / name, out / name)


if __name__ == "__main__":
    main()
