"""Names of reports in the artifact store, by the profiling guide."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tailwatch.contracts.analyses import ProfileAnalysis
from tailwatch.contracts.captures import CaptureOrigin
from tailwatch.contracts.units import LAST_INSTANT, Target

FOLDERS = ("auto", "current")
MIXED = "mixed"
OTHER = "other"

_REPORT = re.compile(
    r"^(?P<folder>auto|current)/(?P<stem>(?:CPU\.(?P<by_hand>[a-z0-9-]+)\.|(?P<automatic>[a-z0-9-]+?)-)"
    r"(?P<session>profile-(?P<ms>[0-9]{1,15})-[a-z0-9]{1,32})(?:\.cpu-prof)?)\.html\Z"
)
_FILE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.(?:html|md)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportNames:
    """Where one session's report is."""

    markdown: str
    html: str

    @property
    def page(self) -> str:
        """The HTML file's name without its folder: the last part of the report's URL."""
        return self.html.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedReport:
    """One report that is in the store."""

    page: str
    markdown: str
    slug: str
    session: str
    captured_at: float
    """From the session's id, seconds since the epoch."""


def slug_of(target: Target | None) -> str:
    """Return a target's name in file names: the last fixed part of its path, ``mixed`` for a whole service."""
    if target is None:
        return MIXED
    parts = [part for part in (target.partition(" ")[2] or target).split("/") if part and "{" not in part]
    slug = re.sub(r"[^a-z0-9]+", "-", parts[-1].lower()).strip("-") if parts else ""
    return slug[:60].rstrip("-") or OTHER


def names_of(analysis: ProfileAnalysis) -> ReportNames:
    """Return the names of an analysis' report: the same for the same session."""
    slug, session = slug_of(analysis.target), analysis.session_id
    by_hand = analysis.origin is CaptureOrigin.MANUAL
    stem = f"current/CPU.{slug}.{session}" if by_hand else f"auto/{slug}-{session}.cpu-prof"
    return ReportNames(markdown=f"{stem}.md", html=f"{stem}.html")


def listed(names: Iterable[str]) -> tuple[ListedReport, ...]:
    """Return the reports among the names in the store, newest first; other files are passed over."""
    found = (_REPORT.match(name) for name in names)
    reports = [
        ListedReport(
            page=f"{match['stem']}.html",
            markdown=f"{match['stem']}.md",
            slug=match["by_hand"] or match["automatic"],
            session=match["session"],
            captured_at=int(match["ms"]) / 1000,
        )
        for match in found
        if match and int(match["ms"]) <= LAST_INSTANT * 1000
    ]
    return tuple(sorted(reports, key=lambda report: (-report.captured_at, report.session)))


def candidates(page: str) -> tuple[str, ...]:
    """Return the names in the store that a page may have; none when it is not a report's file name."""
    return tuple(f"{folder}/{page}" for folder in FOLDERS) if _FILE.match(page) else ()
