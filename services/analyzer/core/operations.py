"""Operations: which kind of work a stack was doing, by the map in ``tailwatch.toml``.

The stack is walked from the innermost frame outwards, and the first frame that belongs to an operation names it, so
that OpenSSL under the signer counts as signing. Frameworks (the server, the event loop, the probe) call the
application: they name what runs in them only when no application code ran further in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import translate
from functools import cache
from re import Pattern
from re import compile as compile_pattern

from services.analyzer.core.frames import Frame
from tailwatch.contracts.policy import Operation

APPLICATION = "application"
UNATTRIBUTED = "unattributed"
TITLES = {APPLICATION: "Application code", UNATTRIBUTED: "Unattributed"}

OperationOf = Callable[[Sequence[Frame]], str]


def operation_map(operations: Mapping[str, Operation]) -> OperationOf:
    """Return what names the operation of a stack (frames outermost first)."""
    matchers = [(name, operation.framework, _matcher(operation)) for name, operation in operations.items()]

    @cache
    def match(frame: Frame) -> tuple[str, bool] | None:
        return next(((name, framework) for name, framework, matches in matchers if matches(frame)), None)

    def operation_of(frames: Sequence[Frame]) -> str:
        hosted: str | None = None
        for frame in reversed(frames):
            found = match(frame)
            if found is None:
                if frame.own:
                    if hosted is not None and hosted != APPLICATION:
                        return hosted
                    hosted = APPLICATION
                continue
            name, framework = found
            if not framework:
                return name
            if hosted == APPLICATION:
                return APPLICATION
            hosted = hosted or name
        return hosted or UNATTRIBUTED

    return operation_of


def title_of(operation: str, operations: Mapping[str, Operation]) -> str:
    """Return what an operation is called in a report."""
    found = operations.get(operation)
    return found.title if found else TITLES.get(operation, operation)


def _matcher(operation: Operation) -> Callable[[Frame], bool]:
    files = [(_glob(glob), ":" in glob) for glob in operation.files]
    functions = [_glob(glob) for glob in operation.functions]

    def matches(frame: Frame) -> bool:
        return any(_file_matches(frame, glob, reduced=reduced) for glob, reduced in files) and any(
            glob.match(frame.function) or glob.match(frame.function.rpartition(".")[2]) for glob in functions
        )

    return matches


def _file_matches(frame: Frame, glob: Pattern[str], *, reduced: bool) -> bool:
    """Return whether a glob of ``package:path`` form, or of a path from any folder on, matches."""
    if glob.match(frame.file):
        return True
    if reduced or not frame.own:
        return False
    parts = frame.path.split("/")
    return any(glob.match("/".join(parts[start:])) for start in range(1, len(parts)))


def _glob(glob: str) -> Pattern[str]:
    return compile_pattern(translate(glob))
