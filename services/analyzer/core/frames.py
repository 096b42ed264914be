"""Frames: text as Scalene writes it, to a reduced file, a module, a function and a line.

Names come from the program that was watched and may hold anything; parsing them never fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tailwatch.contracts.context import EndpointFrame

MAX_FILE = 300
MAX_FUNCTION = 200

_INSTALLED = re.compile(r"(?:^|/)(?:site|dist)-packages/(?P<inside>.+)$")
_STDLIB = re.compile(r"(?:^|/)(?:lib(?:64)?/python3(?:\.\d+)?t?|python3\d+\.zip)/(?P<inside>.+)$")
_FROZEN = re.compile(r"^<frozen (?P<module>[\w.]+)>$")
_OURS = re.compile(r"(?:^|/)tailwatch/(?P<inside>(?:contracts|probe|runtime)/.+)$")
_SOURCE = re.compile(r"^(?P<path>.*\.pyw?) (?P<function>.+)$", re.DOTALL)
_LINE = re.compile(r"^(?P<place>.*):(?P<line>-?\d{1,9})$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A frame as it was written: the path on the machine where it ran."""

    path: str
    function: str
    """Qualified, ``Class.method``."""
    line: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as it is shown and matched."""

    path: str
    """Where it was on its machine, with forward slashes."""
    file: str
    """``package:path`` installed, ``stdlib:path``, else the path from the source root."""
    module: str
    function: str
    line: int
    own: bool
    """The watched application's code, not a library's."""


@dataclass(frozen=True, slots=True)
class SourceRoot:
    """What tells the application's files from those of others."""

    folder: str
    """Absolute, no slash at the end; empty when it is not known."""
    packages: frozenset[str] = frozenset()
    """Installed packages that are the application itself: those of its endpoints."""


def parse_frame(text: str) -> RawFrame:
    """Return the frame in ``<file> <qualified function>:<line>;``; file names may contain spaces."""
    found = _LINE.match(text.removesuffix(";"))
    place, line = (found["place"], max(0, int(found["line"]))) if found else (text.removesuffix(";"), 0)
    source = _SOURCE.match(place)
    if source:
        return RawFrame(source["path"].replace("\\", "/"), source["function"], line)
    path, _, function = place.rpartition(" ")
    return RawFrame((path or "?").replace("\\", "/"), function or "?", line)


def reduce_frame(raw: RawFrame, root: SourceRoot) -> Frame:
    """Return ``raw`` with its file reduced, unprintable characters replaced and long names cut."""
    file, own = _reduced(raw.path, root)
    return Frame(
        path=raw.path,
        file=printable(file, MAX_FILE),
        module=printable(_module(file), MAX_FILE),
        function=printable(raw.function, MAX_FUNCTION),
        line=raw.line,
        own=own,
    )


def source_root(entrypoint_dir: str, paths: Iterable[str], endpoints: Iterable[EndpointFrame]) -> SourceRoot:
    """Return the source root of a capture.

    It is the folder that the profiler was told, if an application file lies under it; else the deepest folder that
    holds every application file. ``paths`` are all files seen.
    """
    endpoint_paths = [endpoint.file.replace("\\", "/") for endpoint in endpoints]
    installed = (_INSTALLED.search(path) for path in endpoint_paths)
    packages = frozenset(found["inside"].partition("/")[0] for found in installed if found)
    own = sorted({path for path in (*paths, *endpoint_paths) if _is_application(path)})
    told = entrypoint_dir.replace("\\", "/").rstrip("/")
    if told and any(path.startswith(f"{told}/") for path in own):
        return SourceRoot(told, packages)
    return SourceRoot(_common_folder(own), packages)


def printable(text: str, longest: int) -> str:
    """Return ``text`` with what cannot be printed replaced, at most ``longest`` characters."""
    clean = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return clean if len(clean) <= longest else f"{clean[: longest - 1]}…"


def _is_application(path: str) -> bool:
    return path.startswith("/") and _library(path) is None


def _common_folder(paths: list[str]) -> str:
    if not paths:
        return ""
    first, last = paths[0].split("/")[:-1], paths[-1].split("/")[:-1]
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return "/".join(first[:same])


def _reduced(path: str, root: SourceRoot) -> tuple[str, bool]:
    library = _library(path)
    if library is None:
        inside = f"{root.folder}/" if root.folder else ""
        return path.removeprefix(inside), path.startswith("/")
    package, inside = library
    if package in root.packages:
        return f"{package}/{inside}", True
    return f"{package}:{inside}", False


def _library(path: str) -> tuple[str, str] | None:
    """Return the package and the path in it of a file that is not in a source tree, or None."""
    installed = _INSTALLED.search(path)
    if installed and not installed["inside"].startswith("tailwatch/"):
        package, _, inside = installed["inside"].partition("/")
        return package.removesuffix(".py"), inside or package
    for pattern, package in ((_OURS, "tailwatch"), (_STDLIB, "stdlib")):
        found = pattern.search(path)
        if found:
            return package, found["inside"]
    frozen = _FROZEN.match(path)
    return ("stdlib", f"{frozen['module'].replace('.', '/')}.py") if frozen else None


def _module(file: str) -> str:
    package, colon, inside = file.rpartition(":")
    parts = inside.removesuffix(".py").removesuffix("/__init__").split("/")
    if colon and package != "stdlib" and parts != [package]:
        parts = [package, *([] if parts == ["__init__"] else parts)]
    return ".".join(part for part in parts if part)
