"""Printing: the guide's form, and names from the watched program that stay text whatever they hold."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from markdown_it import MarkdownIt
from markdown_it.token import Token
from typing_extensions import override

from services.reporter.adapters.printing import Printer, html_prose, markdown_cell, markdown_prose
from services.reporter.core.shapes import Cell
from services.reporter.core.view import ReportView, view_of
from tailwatch.contracts.analyses import ProfileAnalysis
from tailwatch.contracts.captures import CaptureOrigin
from tests.support.examples import ANALYSIS
from tests.support.strategies import values_of

SECTIONS = [
    "Performance Summary",
    "Work or Wait",
    "CPU Budgets",
    "Top CPU Consumers",
    "Memory Usage",
    "Compared with",
    "Optimization Opportunities",
    "How this was measured",
]
HARMLESS = "harmless"
HOSTILE = [
    "`<script>alert(1)</script>",
    "``` <b>",
    "a` ` <b> ``",
    "\\` <b> \\`",
    "\\[x\\](https://evil.example)",
    "a\n\n<script>",
    "a\n# b",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</title></style></script><script>alert(1)</script>",
    "<!-- a comment that never ends",
    "<?php x",
    "<https://evil.example>",
    "&lt;script&gt;&#60;b&#62;",
    "a|b||c\\|d",
    "`",
    "a`b",
    "```",
    "[x](javascript:alert(1))",
    "![x](https://evil.example/x.png)",
    "[x]: https://evil.example",
    "**",
    "**bold** *soft* __under__",
    "{{ 7 * 7 }}{% include 'report.css' %}",
    "<lambda>",
    "\u202egnp.exe",
]
VOID = {"meta", "rect"}
MARKS = {"strong", "code"}
"""What prose itself makes of double stars and backticks."""
PRINTER, ANOTHER = Printer(), Printer()
COMMONMARK = MarkdownIt("commonmark").enable("table")


class Page(HTMLParser):
    """An HTML page, parsed: its elements in order, and the text of each kind; badly nested elements fail."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html)
        self.close()
        assert self.open == []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts.setdefault(tag, []).append("")
        if tag not in VOID:
            self.open.append(tag)

    @override
    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    @override
    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    @override
    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.texts[tag][-1] += data

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of each element of a kind."""
        return [attributes for found, attributes in self.elements if found == tag]

    @property
    def structure(self) -> list[tuple[str, dict[str, str | None]]]:
        """Everything but text and its marks."""
        return [element for element in self.elements if element[0] not in MARKS]


def named(name: str) -> ReportView:
    """Return the view of a program that calls everything that it may name by this name."""
    change = msgspec.structs.replace
    finding = change(
        ANALYSIS.findings[0],
        title=f"{name} is over its budget",
        issue=f"`{name}` itself takes 62% of the CPU time",
        actions=(f"Review {name}: it is the largest part of it", f"Look at `{name}`, the hottest function of it"),
    )
    verdict = change(
        ANALYSIS.verdict, summary=f"Requests were found at {name}: {name}.", evidence=(f"100% of requests at {name}",)
    )
    operation = change(ANALYSIS.operations[0], title=name, top_function=name)
    return view_of(
        change(
            ANALYSIS,
            service_version=name,
            commit=name,
            target=f"POST /{name}",
            python=name,
            verdict=verdict,
            sampler=change(ANALYSIS.sampler, engine=name),
            dependencies=(change(ANALYSIS.dependencies[0], dependency=name, operation=name, target=name),),
            functions=(change(ANALYSIS.functions[0], function=name, file=name, operation=name, target=name),),
            operations=(operation,),
            requests=(change(ANALYSIS.requests[0], target=name),),
            findings=(finding,),
        )
    )


def parsed(markdown: str) -> tuple[list[str], list[str], set[str]]:
    """Return a text's blocks, the text of each table cell, and the kinds of what stands inside of lines."""
    tokens = COMMONMARK.parse(markdown)
    blocks = [token.type for token in tokens]
    cells = [_text(token) for before, token in pairwise(tokens) if before.type in {"th_open", "td_open"}]
    return blocks, cells, {child.type for token in tokens for child in token.children or ()}


def _text(token: Token) -> str:
    return "".join(child.content for child in token.children or ())


def test_markdown_has_the_guides_sections_in_their_order() -> None:
    """One heading each, below the title and what was captured."""
    headings = re.findall(r"^#{1,2} .*$", PRINTER.markdown(view_of(ANALYSIS)), re.MULTILINE)
    assert headings == ["# CPU profile: auth POST /tokens", "## Capture", *(f"## {title}" for title in SECTIONS)]


def test_html_has_the_guides_sections_in_their_order() -> None:
    """The same as in Markdown, in a document that nests as it should."""
    page = Page(PRINTER.html(view_of(ANALYSIS)))
    assert page.texts["title"] == page.texts["h1"] == ["CPU profile: auth POST /tokens"]
    assert page.texts["h2"] == ["Capture", *SECTIONS]


def test_a_report_is_what_it_was(golden: Callable[[str, str], None]) -> None:
    """The whole of the example's report, to be read when it changes."""
    golden("reports/tokens.md", PRINTER.markdown(view_of(ANALYSIS)))


def test_a_recommendation_has_the_guides_form() -> None:
    """Severity and title, then issue, expected impact, numbered action items and evidence."""
    two = msgspec.structs.replace(ANALYSIS.findings[0], actions=("Do this.", "Then `that`."))
    view = view_of(msgspec.structs.replace(ANALYSIS, findings=(two,)))
    assert """
### HIGH: JWT signing is over its CPU budget
**Issue**: JWT signing takes 62 % (58..66) of the CPU time, its budget is 40 %.
**Expected Impact**: -120 to -210 ms P95 latency on POST /tokens, -22% CPU per request (from 62 % of the CPU time down \
to its budget of 40 %)
**Action Items**:
1. Do this.
2. Then `that`.
**Evidence**: profile-1764000001500-9f57a1b2c3d4, instance web1-4711 (pid 4711), 3.0 s after the breach began
""" in PRINTER.markdown(view)
    page = Page(PRINTER.html(view))
    assert page.texts["h3"] == ["HIGH: JWT signing is over its CPU budget"]
    assert page.texts["ol"] == ["\nDo this.\nThen that.\n"]
    assert page.attributes("article") == [{"class": "high", "id": ANALYSIS.findings[0].fingerprint}]


def test_a_report_without_findings_or_samples_says_so() -> None:
    """An empty list is a statement and no gap, and a table without rows is not printed."""
    view = view_of(msgspec.structs.replace(ANALYSIS, findings=(), functions=(), dependencies=()))
    for printed in (PRINTER.markdown(view), PRINTER.html(view)):
        assert "None: no rule of the catalogue holds for this capture." in printed
        assert "Nothing was found running on the CPU." in printed
        assert "Time awaiting dependencies" not in printed


def test_a_capture_by_hand_has_hot_functions() -> None:
    """The guide's heading of the table in ``current/CPU.*.md``."""
    view = view_of(msgspec.structs.replace(ANALYSIS, origin=CaptureOrigin.MANUAL))
    assert "\n### Hot Functions\n\n| # | Function | Where |" in PRINTER.markdown(view)
    assert "Hot Functions" in Page(PRINTER.html(view)).texts["caption"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_text_in_html(name: str) -> None:
    """It changes no element and no attribute of the page, and it is printed as it is."""
    harmless, hostile = Page(PRINTER.html(named(HARMLESS))), Page(PRINTER.html(named(name)))
    assert hostile.structure == harmless.structure
    assert hostile.texts["td"] == [text.replace(HARMLESS, name) for text in harmless.texts["td"]]
    assert hostile.texts["title"] == hostile.texts["h1"] == [f"CPU profile: auth POST /{name}"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_text_in_markdown(name: str) -> None:
    """It becomes neither HTML nor a link nor a picture, and every other cell stays where it was."""
    blocks, cells, inside = parsed(PRINTER.markdown(named(HARMLESS)))
    hostile_blocks, hostile_cells, hostile_inside = parsed(PRINTER.markdown(named(name)))
    assert hostile_blocks == blocks
    assert [cell for cell, was in zip(hostile_cells, cells, strict=True) if HARMLESS not in was] == [
        was for was in cells if HARMLESS not in was
    ]
    assert inside == {"text", "softbreak", "strong_open", "strong_close", "code_inline"}
    assert hostile_inside - inside <= {"text_special", "em_open", "em_close"}


@pytest.mark.parametrize(
    ("text", "markdown", "html"),
    [
        ("a `b<c>[d]|` e", "a `b<c>[d]|` e", "a <code>b&lt;c&gt;[d]|</code> e"),
        ("**SLA**: <b> & [x]", "**SLA**: &lt;b> & \\[x\\]", "<strong>SLA</strong>: &lt;b&gt; &amp; [x]"),
        ("1 < 2 <3", "1 < 2 <3", "1 &lt; 2 &lt;3"),
        ("****", "****", "****"),
    ],
)
def test_prose_marks_code_and_strong_words_and_escapes_the_rest(text: str, markdown: str, html: str) -> None:
    """Backticks and double stars in pairs are marks; a less-than sign that opens no tag stays in Markdown."""
    assert markdown_prose(text) == markdown
    assert html_prose(text) == html


@pytest.mark.parametrize(
    ("cell", "markdown"),
    [
        (Cell("a|b `c`"), "a\\|b `c`"),
        (Cell("<b>[x]"), "&lt;b>\\[x\\]"),
        (Cell("f`<b>|[x]", code=True), "`f'<b>\\|[x]`"),
    ],
)
def test_a_cell_ends_where_it_should(cell: Cell, markdown: str) -> None:
    """No pipe opens another cell, and no backtick closes its code."""
    assert markdown_cell(cell) == markdown


def test_html_carries_all_that_it_needs() -> None:
    """No address in any attribute, none in its style, and neither styles nor handlers outside of their elements."""
    page = Page(PRINTER.html(view_of(ANALYSIS)))
    attributes = {name for _, attributes in page.elements for name in attributes}
    assert not attributes & {"src", "srcset", "href", "xlink:href", "data", "action", "poster", "style"}
    assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|https?:", page.texts["style"][0])
    assert [tag for tag, _ in page.elements if tag in {"link", "iframe", "object", "embed", "base", "form"}] == []


@pytest.mark.parametrize("html", [PRINTER.html(view_of(ANALYSIS)), PRINTER.index([])], ids=["report", "index"])
def test_a_pages_policy_allows_its_own_style_and_script_only(html: str) -> None:
    """Their SHA-256 is in the page's Content-Security-Policy, and everything else is refused."""
    page = Page(html)
    (policy,) = [found["content"] for found in page.attributes("meta") if "http-equiv" in found]
    (style,), (script,) = page.texts["style"], page.texts["script"]
    assert policy == (
        f"default-src 'none'; style-src '{_sha256(style)}'; script-src '{_sha256(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _sha256(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(values_of(ProfileAnalysis))
def test_every_analysis_with_limits_that_a_policy_may_set_is_printed_the_same_twice(analysis: ProfileAnalysis) -> None:
    """Whatever else the contract allows, both forms are printed, and again with the same bytes."""
    view, again = view_of(analysis), view_of(msgspec.structs.replace(analysis))
    assert PRINTER.markdown(view).encode() == ANOTHER.markdown(again).encode()
    assert PRINTER.html(view).encode() == ANOTHER.html(again).encode()
    assert PRINTER.markdown(view).endswith("\n")


def test_bars_are_as_long_as_their_shares() -> None:
    """In hundredths of the bar's whole."""
    changes: dict[str, Any] = {"share": 0.125, "low": 0.1, "high": 0.2}
    share = msgspec.structs.replace(ANALYSIS.operations[0].share, **changes)
    operation = msgspec.structs.replace(ANALYSIS.operations[0], share=share)
    page = Page(PRINTER.html(view_of(msgspec.structs.replace(ANALYSIS, operations=(operation,), functions=()))))
    assert [bar["width"] for bar in page.attributes("rect")] == ["100", "12.5"]
