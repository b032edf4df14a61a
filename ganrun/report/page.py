"""The page of a report: its content through a template, with styles, script and pictures inside the file."""

from __future__ import annotations

import json
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from ganrun.report.content import Content, folder_of, group_names


def render(content: Content) -> str:
    """Return the report on ``content`` as the text of an HTML file that refers to nothing outside itself."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    folder = files("ganrun.report") / "template"
    parts = {name: (folder / name).read_text(encoding="utf-8") for name in ("report.html", "style.css", "script.js")}
    names = group_names(content.comparison.groups)
    data = {"charts": [chart.data for chart in content.charts], "groups": names, "colors": content.colors}
    return environment.from_string(parts["report.html"]).render(
        content=content,
        names=names,
        folder_of=folder_of,
        style=parts["style.css"],
        script=parts["script.js"],
        # "</script>" in a label would end the element that holds the data.
        data=json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
    )
