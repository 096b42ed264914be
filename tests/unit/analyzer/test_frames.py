"""Frames: reduced names, source roots, and texts that may hold anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzer.core.frames import (
    MAX_FILE,
    MAX_FUNCTION,
    Frame,
    SourceRoot,
    parse_frame,
    printable,
    reduce_frame,
    source_root,
)
from tailwatch.contracts.context import EndpointFrame
from tests.support.captures import APP, SITE, STANDARD

ROOT = SourceRoot("/srv/auth")


@pytest.mark.parametrize(
    ("text", "path", "function", "line"),
    [
        ("/srv/a.py price:14;", "/srv/a.py", "price", 14),
        ("/srv/my shop/a b.py Cart.<locals>.<lambda>:3;", "/srv/my shop/a b.py", "Cart.<locals>.<lambda>", 3),
        ("<frozen importlib._bootstrap> _find_and_load:1178;", "<frozen importlib._bootstrap>", "_find_and_load", 1178),
        ("C:\\shop\\a.py price:2;", "C:/shop/a.py", "price", 2),
        ("<string> f:1;", "<string>", "f", 1),
        ("/srv/a.py odd name:9;", "/srv/a.py", "odd name", 9),
        ("/srv/a.py price:-1;", "/srv/a.py", "price", 0),
        ("/srv/a.py price", "/srv/a.py", "price", 0),
        ("nothing", "?", "nothing", 0),
        ("", "?", "?", 0),
    ],
)
def test_a_frame_is_read_from_scalenes_text(text: str, path: str, function: str, line: int) -> None:
    """File names may contain spaces, functions are qualified, and a missing line is 0."""
    raw = parse_frame(text)
    assert (raw.path, raw.function, raw.line) == (path, function, line)


@given(st.text())
def test_no_text_stops_the_parser(text: str) -> None:
    """Whatever a program calls its files and functions, there is a frame that can be printed."""
    frame = reduce_frame(parse_frame(text), ROOT)
    assert frame.line >= 0
    assert all(char.isprintable() for char in frame.file + frame.function + frame.module)
    assert len(frame.file) <= MAX_FILE
    assert len(frame.function) <= MAX_FUNCTION


@given(
    st.text(st.characters(categories=["L", "N"]), min_size=1), st.text(st.characters(categories=["L", "N"]), min_size=1)
)
def test_what_scalene_writes_is_read_back(name: str, function: str) -> None:
    """The text of an ordinary frame and its parts are the same thing."""
    raw = parse_frame(f"/srv/{name}.py {function}:7;")
    assert (raw.path, raw.function, raw.line) == (f"/srv/{name}.py", function, 7)


@pytest.mark.parametrize(
    ("path", "file", "module", "own"),
    [
        (f"{APP}/core/tokens.py", "services/auth/core/tokens.py", "services.auth.core.tokens", True),
        (f"{APP}/core/__init__.py", "services/auth/core/__init__.py", "services.auth.core", True),
        (f"{SITE}/joserfc/jwt.py", "joserfc:jwt.py", "joserfc.jwt", False),
        (f"{SITE}/joserfc/__init__.py", "joserfc:__init__.py", "joserfc", False),
        (f"{SITE}/six.py", "six:six.py", "six", False),
        ("/usr/lib/python3/dist-packages/yaml/reader.py", "yaml:reader.py", "yaml.reader", False),
        (f"{STANDARD}/json/encoder.py", "stdlib:json/encoder.py", "json.encoder", False),
        ("/usr/lib/python3.13t/json/encoder.py", "stdlib:json/encoder.py", "json.encoder", False),
        ("/opt/python311.zip/json/encoder.py", "stdlib:json/encoder.py", "json.encoder", False),
        ("<frozen importlib._bootstrap>", "stdlib:importlib/_bootstrap.py", "importlib._bootstrap", False),
        (
            "/srv/auth/tailwatch/probe/middleware.py",
            "tailwatch:probe/middleware.py",
            "tailwatch.probe.middleware",
            False,
        ),
        (f"{SITE}/tailwatch/probe/agent.py", "tailwatch:probe/agent.py", "tailwatch.probe.agent", False),
        ("/elsewhere/plugin.py", "/elsewhere/plugin.py", "elsewhere.plugin", True),
        ("<string>", "<string>", "<string>", False),
    ],
)
def test_files_are_reduced_to_what_a_reader_knows_them_by(path: str, file: str, module: str, own: bool) -> None:  # noqa: FBT001
    """Packages by name, the standard library, tailwatch's own code, and paths from the source root."""
    frame = reduce_frame(parse_frame(f"{path} f:1;"), ROOT)
    assert (frame.file, frame.module, frame.own) == (file, module, own)


def test_an_installed_application_is_known_by_its_endpoints() -> None:
    """A service installed as a wheel is still the application: the package of its endpoints."""
    endpoint = EndpointFrame(file=f"{SITE}/services/auth/app.py", function="issue", line=1, target="POST /tokens")
    root = source_root("", [f"{SITE}/services/auth/app.py"], [endpoint])
    frame = reduce_frame(parse_frame(f"{SITE}/services/auth/core/tokens.py sign:5;"), root)
    assert (frame.file, frame.own) == ("services/auth/core/tokens.py", True)


def test_the_source_root_is_the_one_that_was_told_when_it_holds_the_application() -> None:
    """A folder that holds no application file is not believed."""
    paths = [f"{APP}/app.py", f"{APP}/core/tokens.py", f"{SITE}/h11/a.py", f"{STANDARD}/json/decoder.py"]
    assert source_root("/srv/auth/", paths, []).folder == "/srv/auth"
    assert source_root("/elsewhere", paths, []).folder == APP
    assert source_root("", paths, []).folder == APP
    assert source_root("", ["<string>"], []).folder == ""


def test_unprintable_and_endless_names_are_made_harmless() -> None:
    """Control characters are replaced, and a long name is cut with a sign that it was."""
    assert printable("a\nb\x00c\ud800", 10) == "a\ufffdb\ufffdc\ufffd"
    assert printable("x" * 11, 10) == "x" * 9 + "…"


def test_frames_compare_by_value() -> None:
    """Frames are keys: the same text is the same frame."""
    one, two = (reduce_frame(parse_frame("/srv/auth/a.py f:1;"), ROOT) for _ in range(2))
    assert isinstance(one, Frame)
    assert len({one, two}) == 1
