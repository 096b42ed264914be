"""Printing: a view as Markdown, as one self-contained HTML file, and the list of reports.

HTML is autoescaped, and everything it needs is inside: style and script are allowed by their SHA-256 in its own
Content-Security-Policy, and nothing is loaded from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from services.reporter.core.names import ListedReport
from services.reporter.core.numbers import moment
from services.reporter.core.shapes import Cell
from services.reporter.core.view import ReportView

_MARKED = re.compile(r"(`[^`]*`|\*\*[^*`]*\*\*)")
_SPAN = re.compile(r"(?<!`)(`[^`]+`)(?!`)")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_MEANT = re.compile(r"([\\`\[\]])")
"""What would begin a code span, a link or an escape in Markdown."""
_BREAK = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")


class Printer:
    """Prints views; the same view gives the same bytes."""

    def __init__(self) -> None:
        """Load the templates that are installed with the reporter."""
        loader = PackageLoader("services.reporter")
        # StrictUndefined: a template that names what a view does not have is an error and no empty place.
        self._html = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        # Markdown is no HTML: what might be read as such is escaped by `prose` and `cell`.
        self._markdown = Environment(
            loader=loader,
            autoescape=False,  # noqa: S701
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        style, script = (self._source(name) for name in ("report.css", "report.js"))
        self._html.globals.update(style=Markup(style), script=Markup(script), policy=_policy(style, script))  # noqa: S704
        self._html.filters["prose"] = html_prose
        self._html.filters["moment"] = moment
        self._markdown.filters["prose"] = markdown_prose
        self._markdown.filters["cell"] = markdown_cell

    def markdown(self, view: ReportView) -> str:
        """Return a report as Markdown."""
        return self._markdown.get_template("report.md.j2").render(view=view).rstrip() + "\n"

    def html(self, view: ReportView) -> str:
        """Return a report as one HTML file."""
        return self._html.get_template("report.html.j2").render(view=view) + "\n"

    def index(self, reports: Sequence[ListedReport]) -> str:
        """Return the page that lists reports."""
        return self._html.get_template("index.html.j2").render(reports=reports)

    def _source(self, name: str) -> str:
        loader = self._html.loader
        if loader is None:
            raise RuntimeError("the reporter's templates are not installed")
        return loader.get_source(self._html, name)[0]


def markdown_prose(text: str) -> str:
    """Return a sentence as Markdown, on one line, in which no name can become HTML or a link; code spans stay."""
    parts = _SPAN.split(_BREAK.sub(" ", text))  # odd parts are code
    return "".join(part if at % 2 else _TAG.sub("&lt;", _MEANT.sub(r"\\\1", part)) for at, part in enumerate(parts))


def markdown_cell(cell: Cell) -> str:
    """Return a table cell as Markdown."""
    if not cell.code:
        return markdown_prose(cell.text).replace("|", "\\|")
    return "`{}`".format(_BREAK.sub(" ", cell.text).replace("`", "'").replace("|", "\\|"))


def html_prose(text: str) -> Markup:
    """Return a sentence as HTML: backticks become code and double stars strong; all of it escaped."""
    return Markup("").join(_marked(part) for part in _MARKED.split(text))


def _marked(part: str) -> Markup:
    if part.startswith("`") and part.endswith("`") and len(part) > 1:
        return Markup("<code>{}</code>").format(part[1:-1])
    if part.startswith("**") and part.endswith("**") and len(part) > 4:  # noqa: PLR2004  # both pairs of stars
        return Markup("<strong>{}</strong>").format(part[2:-2])
    return escape(part)


def _policy(style: str, script: str) -> str:
    allowed = {"style-src": style, "script-src": script}
    hashed = "; ".join(f"{kind} 'sha256-{_sha256(text)}'" for kind, text in allowed.items())
    return f"default-src 'none'; {hashed}; base-uri 'none'; form-action 'none'"


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
