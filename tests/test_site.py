"""The site of docs/ is built without a warning, has every page, and requests nothing from other hosts."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TOP = {
    "README.md": "overview",
    "SECURITY.md": "security",
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
}
COUNTED = ("h1", "h2", "h3", "li", "pre", "code", "table", "td", "img", "strong")

if importlib.util.find_spec("properdocs") is None:
    pytest.skip("properdocs is not installed: pip install '.[docs]'", allow_module_level=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site."""
    out = tmp_path_factory.mktemp("site")
    words = ["build", "--strict", "-f", str(DOCS / "site" / "properdocs.yml"), "-d", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "properdocs", *words], cwd=out, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return out


class Elements(HTMLParser):
    """Counts elements, and keeps what the others than links refer to on other hosts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()
        self.elsewhere: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] += tag in COUNTED
        if tag != "a":
            values = [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
            self.elsewhere += [value for value in values if re.match(r"(https?:)?//", value)]


def sources() -> dict[str, Path]:
    """The Markdown file of each page, by the name of the page."""
    pages = {path.relative_to(DOCS).with_suffix("").as_posix(): path for path in DOCS.rglob("*.md")}
    return pages | {page: ROOT / name for name, page in TOP.items()}


def test_every_file_is_a_page_and_stands_in_the_navigation(site):
    start = (site / "index.html").read_text(encoding="utf-8")
    for page in (*sources(), "licence"):
        assert (site / f"{page}.html").is_file()
        assert f'href="{page}.html"' in start


def test_a_page_has_the_elements_that_github_shows(site):
    # Python-Markdown is no CommonMark: lists, tables and code that it reads otherwise are found here.
    reader = MarkdownIt("commonmark").enable("table")
    for page, path in sources().items():
        text = (site / f"{page}.html").read_text(encoding="utf-8")
        main = text[text.index('role="main"') : text.index("<footer")]
        expected = Elements(reader.render(path.read_text(encoding="utf-8"))).count
        assert Elements(main).count == expected, path


def test_nothing_is_requested_from_other_hosts(site):
    for path in site.rglob("*.html"):
        assert Elements(path.read_text(encoding="utf-8")).elsewhere == [], path
    for path in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", path.read_text(encoding="utf-8")) == [], path


def test_links_lead_to_the_pages_of_the_site():
    spec = importlib.util.spec_from_file_location("top_pages", DOCS / "site" / "top_pages.py")
    assert spec is not None and spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)

    def linked(source: str, page: str, link: str) -> str:
        return hooks._linked(hooks.LINK.fullmatch(link), source, page)

    assert linked("docs/runs.md", "runs.md", "](../SECURITY.md#trusted-input)") == "](security.md#trusted-input)"
    assert linked("docs/reference/tags.md", "reference/tags.md", "](../metrics.md)") == "](../metrics.md)"
    assert linked("docs/reference/tags.md", "reference/tags.md", "](../../README.md)") == "](../overview.md)"
    assert linked("README.md", "overview.md", "](docs/gallery/ring.png)") == "](gallery/ring.png)"
    assert linked("README.md", "overview.md", "](LICENSE)") == "](licence.md)"
    assert hooks.LINK.fullmatch("](https://hydra.cc)") is None and hooks.LINK.fullmatch("](#inception)") is None


def test_the_built_site_is_not_kept_by_git():
    done = subprocess.run(["git", "check-ignore", "-q", "outputs/site"], cwd=ROOT, check=False)
    assert done.returncode in (0, 128)  # 128: not a checkout
