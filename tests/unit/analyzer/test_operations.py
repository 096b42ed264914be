"""Operations: the innermost frame that an operation claims, with frameworks only hosting the application."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzer.core.frames import Frame, SourceRoot, parse_frame, reduce_frame
from services.analyzer.core.operations import operation_map, title_of
from tailwatch.contracts.policy import Operation, parse_policy
from tests.support.captures import (
    APP,
    CHECK,
    DERIVE,
    ENCODE,
    HEALTHY,
    IDLE,
    ISSUE,
    PARSE,
    ROUTE,
    SIGN,
    SITE,
    STANDARD,
    TOKENS,
)

SHIPPED = parse_policy(
    tomllib.loads((Path(__file__).parents[3] / "config" / "tailwatch.toml").read_text(encoding="utf-8")),
    name="tailwatch.toml",
).operations
ROOT = SourceRoot("/srv/auth")


def frames(texts: Sequence[str]) -> list[Frame]:
    """Return texts as frames of the auth service."""
    return [reduce_frame(parse_frame(text), ROOT) for text in texts]


KONG = (*TOKENS, f"{APP}/adapters/kong.py KongAdmin.credential:40;")


@pytest.mark.parametrize(
    ("stack", "operation"),
    [
        (SIGN, "jwt_signing"),
        (DERIVE, "jwt_signing"),
        (ISSUE, "jwt_signing"),
        (
            (*TOKENS, f"{APP}/core/tokens.py validate:90;", f"{SITE}/joserfc/jws.py deserialize_compact:2;"),
            "jwt_validation",
        ),
        (ENCODE, "json"),
        (KONG, "kong"),
        ((*KONG, f"{SITE}/httpx/_client.py send:1;", f"{SITE}/h11/_writers.py write:9;"), "kong"),
        ((*KONG, f"{STANDARD}/json/decoder.py JSONDecoder.raw_decode:353;"), "json"),
        (PARSE, "http"),
        (ROUTE, "http"),
        ((*TOKENS, f"{SITE}/starlette/responses.py Response.init_headers:60;"), "http"),
        (HEALTHY, "application"),
        (CHECK, "application"),
        ((*TOKENS, f"{APP}/core/x.py work:1;", f"{SITE}/numpy/core.py dot:1;"), "application"),
        ((*TOKENS, "/srv/auth/tailwatch/runtime/metrics.py Metrics.count:9;"), "telemetry"),
        (IDLE[:-1], "event_loop"),
        ((f"{SITE}/numpy/core.py dot:1;",), "unattributed"),
        ((), "unattributed"),
    ],
)
def test_the_shipped_map_names_the_work_of_the_auth_service(stack: Sequence[str], operation: str) -> None:
    """A library called by the signer is signing, whatever the function is called; the rest is what it is."""
    assert operation_map(SHIPPED)(frames(stack)) == operation


def test_a_function_called_by_a_telling_name_elsewhere_is_not_signing() -> None:
    """Operations are matched by file and function, never by a bare function name."""
    assert operation_map(SHIPPED)(frames((*TOKENS, f"{APP}/core/other.py sign:1;"))) == "application"


def test_the_first_operation_in_the_file_wins() -> None:
    """Where several operations match one frame, the order in the policy decides."""
    both = {"a": Operation(title="A", files=("json/*",)), "b": Operation(title="B", files=("*",))}
    swapped = dict(reversed(both.items()))
    frame = frames([f"{APP}/json/x.py f:1;"])
    assert (operation_map(both)(frame), operation_map(swapped)(frame)) == ("a", "b")


def test_globs_of_paths_match_from_any_folder_on_but_only_application_code() -> None:
    """A path of the application is found wherever it is installed; a package's is found by its name."""
    operations = {"kong": Operation(title="Kong", files=("adapters/kong*",), functions=("Kong*.get", "look_up"))}
    named = operation_map(operations)
    assert named(frames([f"{APP}/adapters/kong.py KongAdmin.get:1;"])) == "kong"
    assert named(frames([f"{APP}/adapters/kong.py Other.look_up:1;"])) == "kong"
    assert named(frames([f"{APP}/adapters/kong.py Other.get:1;"])) == "application"
    assert named(frames([f"{SITE}/foo/adapters/kong.py KongAdmin.get:1;"])) == "unattributed"


def test_titles_are_the_policys_or_built_in() -> None:
    """An operation that the policy does not know is called by its own name."""
    assert [title_of(name, SHIPPED) for name in ("json", "application", "unattributed", "x")] == [
        "JSON serialization",
        "Application code",
        "Unattributed",
        "x",
    ]


PIECES = st.sampled_from([*SIGN, *ENCODE, *PARSE, *KONG, *HEALTHY, f"{SITE}/numpy/core.py dot:1;"])


def by_definition(stack: list[Frame]) -> str:
    """Return the operation by the rule as it is written in the policy file, without a walk."""
    claims = [next((n for n, o in SHIPPED.items() if operation_map({n: o})([f]) == n), None) for f in stack]
    named = list(zip(stack, claims, strict=True))[::-1]
    works = [at for at, (_, n) in enumerate(named) if n is not None and not SHIPPED[n].framework]
    hosts = [at for at, (_, n) in enumerate(named) if n is not None and SHIPPED[n].framework]
    own = [at for at, (frame, n) in enumerate(named) if frame.own and n is None]
    stops = [at for at in own if any(h < at for h in hosts)] + [at for at in hosts if any(o < at for o in own)]
    if works and (not stops or works[0] < min(stops)):
        return str(named[works[0]][1])
    first = min([*own[:1], *hosts[:1]], default=None)
    return "unattributed" if first is None else (named[first][1] or "application")


@given(st.lists(PIECES, max_size=12))
def test_the_walk_is_the_definition(texts: list[str]) -> None:
    """Walking a stack gives what the rule says of the whole stack."""
    stack = frames(texts)
    assert operation_map(SHIPPED)(stack) == by_definition(stack)
