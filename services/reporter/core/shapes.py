"""The shapes that a report is made of: sections with facts, sentences and tables."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    """One labelled value."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, what it is sorted by, and how long its bar is."""

    text: str
    order: float | None = None
    """None: sorted by the text."""
    bar: float | None = None
    """0..1; None: no bar."""
    code: bool = False
    """A name from a program."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under columns."""

    caption: str | None
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report with a heading."""

    title: str
    facts: tuple[Fact, ...] = ()
    sentences: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opportunity:
    """One recommendation as it is printed."""

    severity: str
    """In capitals."""
    title: str
    issue: str
    impact: str
    actions: tuple[str, ...]
    evidence: str
    fingerprint: str
