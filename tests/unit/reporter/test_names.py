"""Names of reports: the guide's, and never outside of their folder."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reporter.core.names import ListedReport, ReportNames, candidates, listed, names_of, slug_of
from tailwatch.contracts.captures import CaptureOrigin
from tailwatch.contracts.units import LAST_INSTANT, ArtifactName, SessionId, Target
from tests.support.examples import ANALYSIS, SESSION

CHARACTERS = st.characters(min_codepoint=0x20, exclude_characters="\x7f", exclude_categories=["Cs"])
TARGETS = st.one_of(
    st.none(),
    st.text(CHARACTERS, min_size=1, max_size=200),
    st.text(st.sampled_from("./\\ -aZ9{}%|:~$\u202e\u00e9"), max_size=190).map("GET /{}".format),
)
SESSIONS = st.builds(
    "profile-{}-{}".format,
    st.integers(0, LAST_INSTANT * 1000),
    st.text(st.sampled_from("0123456789abcdefprofile"), min_size=1, max_size=32),
)


@pytest.mark.parametrize(
    ("target", "slug"),
    [
        ("POST /tokens", "tokens"),
        ("GET /users/{user}/keys/{key}", "keys"),
        ("GET /Kong.Cache_v2/", "kong-cache-v2"),
        ("GET /caf\u00e9--au lait", "caf-au-lait"),
        ("GET /" + "a" * 59 + "-b", "a" * 59),
        ("GET /../../etc/passwd", "passwd"),
        ("GET /..\\..\\windows", "windows"),
        ("GET /..", "other"),
        ("GET /{everything}", "other"),
        ("GET /", "other"),
        ("Check Out", "out"),
        ("checkout", "checkout"),
        (None, "mixed"),
    ],
)
def test_a_slug_is_the_last_fixed_part_of_the_path(target: str | None, slug: str) -> None:
    """Small letters, digits and single hyphens, at most 60, whatever the route is called."""
    assert slug_of(target) == slug


@pytest.mark.parametrize(
    ("origin", "stem"),
    [
        (CaptureOrigin.SLA, f"auto/tokens-{SESSION}.cpu-prof"),
        (CaptureOrigin.CONTROL, f"auto/tokens-{SESSION}.cpu-prof"),
        (CaptureOrigin.MANUAL, f"current/CPU.tokens.{SESSION}"),
    ],
)
def test_reports_have_the_guides_names(origin: CaptureOrigin, stem: str) -> None:
    """Automatic captures and those by hand lie in a folder each, Markdown and HTML side by side."""
    names = names_of(msgspec.structs.replace(ANALYSIS, origin=origin))
    assert names == ReportNames(markdown=f"{stem}.md", html=f"{stem}.html")
    assert names.page == stem.partition("/")[2] + ".html"


@given(TARGETS, SESSIONS, st.sampled_from(CaptureOrigin))
def test_any_target_gives_a_name_that_is_stored_listed_and_found(
    target: Target | None, session: SessionId, origin: CaptureOrigin
) -> None:
    """No target leaves its folder, and the list and the page find every report that is written."""
    analysis = msgspec.structs.replace(ANALYSIS, target=target, session_id=session, origin=origin)
    names = names_of(analysis)
    folder = "current" if origin is CaptureOrigin.MANUAL else "auto"
    for name in (names.markdown, names.html):
        assert msgspec.convert(name, ArtifactName).rpartition("/")[0] == folder
        assert name in candidates(name.partition("/")[2])
    assert listed([names.markdown, names.html]) == (
        ListedReport(
            page=names.page,
            markdown=names.markdown.partition("/")[2],
            slug=slug_of(target),
            session=session,
            captured_at=int(session.split("-")[1]) / 1000,
        ),
    )


def test_reports_are_listed_newest_first() -> None:
    """By the moment of the capture, wherever they lie; of the same moment by session."""
    found = listed(
        [
            "auto/tokens-profile-1000-b.cpu-prof.html",
            "auto/health-profile-3000-a.cpu-prof.html",
            "current/CPU.validate.profile-2000-a.html",
            "auto/mixed-profile-1000-a.cpu-prof.html",
        ]
    )
    assert [(report.slug, report.captured_at, report.session) for report in found] == [
        ("health", 3.0, "profile-3000-a"),
        ("validate", 2.0, "profile-2000-a"),
        ("mixed", 1.0, "profile-1000-a"),
        ("tokens", 1.0, "profile-1000-b"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "auto/tokens-profile-1-a.cpu-prof.md",
        "auto/tokens-profile-1-a.cpu-prof.html.part",
        "auto/older/tokens-profile-1-a.cpu-prof.html",
        "archive/tokens-profile-1-a.cpu-prof.html",
        "captures/profile-1-a/capture.json",
        "auto/profile-1-a.cpu-prof.html",
        "auto/tokens-profile-x-a.cpu-prof.html",
        "auto/<b>-profile-1-a.cpu-prof.html",
        "current/notes.html",
        "auto/tokens-profile-999999999999999-a.cpu-prof.html",
        "auto/tokens-profile-1-a.cpu-prof.html\n",
        "",
    ],
)
def test_other_files_are_passed_over(name: str) -> None:
    """What is no report's HTML is not listed."""
    assert listed([name]) == ()


def test_a_page_may_lie_in_either_folder() -> None:
    """The page's URL does not say who asked for the capture."""
    assert candidates("CPU.tokens.profile-1-a.html") == (
        "auto/CPU.tokens.profile-1-a.html",
        "current/CPU.tokens.profile-1-a.html",
    )


@pytest.mark.parametrize(
    "page",
    [
        "../captures/profile-1-a/notes.html",
        "..html",
        "..\\secret.html",
        "/etc/secret.html",
        "auto/tokens.html",
        ".hidden.html",
        "manifest.json",
        "tokens.html\n",
        "tokens.html\x00.md",
        "a" * 300 + ".html",
        "html",
        "",
    ],
)
def test_a_page_never_escapes_its_folder(page: str) -> None:
    """What is no file name of a report is looked for nowhere."""
    assert candidates(page) == ()
