"""Hooks of the site: the files at the top of the repository become pages, and links between them and docs/ are kept."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from properdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
# Files at the top and their pages; README.md would be the start of the site, which is docs/index.md.
PAGES = {
    "README.md": "overview.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "licence.md",
}
LINK = re.compile(r"(\]\()([^)\s:#]+)(#[^)\s]*)?(\))")  # to a file of the repository, and not to an address


def on_files(files: Any, config: Any) -> Any:
    """Add a page for each of :data:`PAGES`."""
    for name, page in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        if not name.endswith(".md"):
            text = f"# {Path(page).stem.capitalize()}\n\n```text\n{text.strip()}\n```\n"
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(text: str, page: Any, **_: Any) -> str:
    """Return the Markdown of a page with links to where the files of the repository are in the site."""
    place = page.file.src_uri
    source = next((name for name, page in PAGES.items() if page == place), f"docs/{place}")
    return LINK.sub(lambda link: _linked(link, source, place), text)


def _linked(link: re.Match[str], source: str, place: str) -> str:
    """Return a ``link`` of the file ``source`` of the repository, whose page is at ``place``, as one of the site."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
    target = PAGES.get(target, target.removeprefix("docs/"))
    return f"{link[1]}{posixpath.relpath(target, posixpath.dirname(place) or '.')}{link[3] or ''}{link[4]}"
