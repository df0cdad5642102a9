"""Templates; what is put into one is shown as text, whatever it holds."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ui.shared import charts, words

_FOLDER = Path(__file__).parent
# Each lies beside the first one, so that relative links hold behind a proxy with a path of its own too.
PAGES = (
    ("Home", "./"),
    ("Models", "./models"),
    ("Doctor", "./doctor"),
    ("Test suites", "./test-suites"),
    ("Test runs", "./test-runs"),
    ("Comparisons", "./comparisons"),
    ("Playground", "./playground"),
    ("Feedback", "./feedback"),
    ("Sessions", "./sessions"),
    ("Datasets", "./datasets"),
    ("Training jobs", "./training-jobs"),
    ("Loops", "./loops"),
    ("Schedules", "./schedules"),
    ("Shipments", "./shipments"),
    ("Deployments", "./deployments"),
)
# Folders of pages that stand below another one.
_NESTED = ("gateway", "shipping", "evaluations", "training_jobs", "loops")
# Control characters move a terminal's cursor; bidirectional ones make a text read as another.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")


def visible(text: str) -> str:
    """Return `text` with characters that hide or reorder others written as their code points."""
    return _INVISIBLE.sub(lambda result: f"\\u{{{ord(result.group()):x}}}", text)


def render(template: str, **values: Any) -> str:
    """Return the HTML of a template, named by its noun and its name: `loops/loop` is `ui/loops/templates/loop.html`."""
    noun, _, name = template.partition("/")
    return _environment().get_template(f"{noun}/templates/{name}.html").render(**values)


@cache
def stylesheet() -> str:
    """Return the style sheet that pages and reports share."""
    return (_FOLDER / "style.css").read_text(encoding="utf-8")


@cache
def script() -> str:
    """Return the script of all pages, which puts times into the person's zone and saves tables and charts."""
    return (_FOLDER.parent / "gateway/static/pages.js").read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader([_FOLDER.parent, *(_FOLDER.parent / name for name in _NESTED)]),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=words.percent_text,
        span=words.span_text,
        size=words.size_text,
        time=words.time_text,
        words=lambda text: str(text).replace("_", " "),
        enum=words.enum_text,
        calls=words.calls_text,
    )
    environment.globals.update(sparkline=charts.line_chart, tool_rows=charts.tool_rows)
    return environment


def _finalize(value: Any) -> Any:
    if isinstance(value, Markup):
        return value
    # Braces and dollars are entities too, since the page framework has templates of its own in the browser.
    text = str(escape(visible(str(value))))
    return Markup(text.translate({36: "&#36;", 96: "&#96;", 123: "&#123;", 125: "&#125;"}))
