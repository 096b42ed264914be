"""The catalogue of recommendations: ``recommendations.toml`` as types.

Texts may name the placeholders in :data:`PLACEHOLDERS`; nothing else of Python's format language is accepted. An
action that names something which a capture does not tell is left out of that finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from string import Formatter
from typing import Annotated

import msgspec
from msgspec import Meta

from tailwatch.contracts.analyses import Severity, VerdictKind
from tailwatch.contracts.errors import ConfigurationError

PLACEHOLDERS = {
    "title": "the operation's title",
    "operation": "the operation",
    "share": "part of the CPU time, in percent",
    "interval": "its 95 % interval",
    "samples": "on-CPU samples",
    "budget": "the operation's budget, in percent",
    "per_request": "CPU ms per request",
    "function": "the function with most of the work",
    "file": "its file",
    "line": "its line",
    "owner": "the application's function that causes most of it",
    "owner_file": "its file",
    "owner_share": "its part, in percent",
    "target": "the target",
    "summary": "the verdict in a sentence",
    "kong_wait": "ms that a mean request waits for Kong",
    "kong_calls": "calls to Kong during the capture",
    "requests": "requests during the capture",
    "lag": "event-loop lag at the P95, ms",
    "other": "the busiest other target",
}


class Condition(StrEnum):
    """When a rule holds."""

    OPERATION_OVER_BUDGET = "operation_over_budget"
    """The rule's ``operation``; without one, any operation that no other rule names."""
    VERDICT = "verdict"
    """The verdict is the rule's ``verdict``."""
    HOT_FUNCTION = "hot_function"
    """The verdict is CPU, and one function of the application that no budget speaks of takes ``share_percent``."""
    UNATTRIBUTED = "unattributed"
    """The map of operations leaves more than its limit unexplained."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of finding."""

    when: Condition
    operation: str | None = None
    verdict: VerdictKind | None = None
    share_percent: Annotated[int, Meta(ge=1, le=100)] | None = None
    severity: Severity | None = None
    """Fixed; None: from the size of the excess and from whether the SLA is broken."""
    title: Annotated[str, Meta(min_length=1)]
    issue: Annotated[str, Meta(min_length=1)]
    actions: Annotated[tuple[str, ...], Meta(min_length=1)]
    metric: str | None = None

    def __post_init__(self) -> None:
        if self.when is Condition.VERDICT and self.verdict is None:
            raise ValueError("a rule on the verdict needs `verdict`")
        if self.when is Condition.HOT_FUNCTION and self.share_percent is None:
            raise ValueError("a rule on hot functions needs `share_percent`")
        for text in (self.title, self.issue, *self.actions):
            unknown = sorted(fields(text) - PLACEHOLDERS.keys())
            if unknown:
                raise ValueError(f"unknown placeholder {{{unknown[0]}}} in {text!r}; known: {', '.join(PLACEHOLDERS)}")


class Catalogue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    rules: dict[str, Rule]


def parse_catalogue(content: object, *, name: str) -> Catalogue:
    """Return the catalogue in the mapping that a TOML file holds.

    Raises ConfigurationError naming the file, the rule and what is accepted.
    """
    try:
        return msgspec.convert(content, Catalogue)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{name}: {error}") from error


def fields(text: str) -> set[str]:
    """Return the placeholders in a text; anything that is no plain name is returned as it stands."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from error
    return {
        name if not spec and not conversion else f"{name}:{spec or conversion}"
        for _, name, spec, conversion in parts
        if name is not None
    }


def filled(text: str, values: Mapping[str, str]) -> str | None:
    """Return a text with its placeholders filled, or None when a value is missing."""
    return text.format_map(values) if fields(text) <= values.keys() else None
