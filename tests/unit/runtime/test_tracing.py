"""Trace context of records: a child stays in its parent's trace."""

from __future__ import annotations

import re

import pytest

from tailwatch.contracts.codec import trace_id
from tailwatch.runtime.tracing import child_of, trace_of, traceparent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def test_a_child_is_in_its_parents_trace_with_its_own_span() -> None:
    """Same trace id, another span id, sampled."""
    child = child_of(PARENT)
    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-01", child)
    assert child != PARENT


@pytest.mark.parametrize("parent", [None, "", "nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01", PARENT.upper()])
def test_without_a_valid_parent_a_new_trace_begins(parent: str | None) -> None:
    """An invalid traceparent is as good as none."""
    assert trace_of(parent) is None
    first, second = child_of(parent), child_of(parent)
    assert trace_id([("traceparent", first.encode())]) not in {None, "0" * 32}
    assert trace_of(first) != trace_of(second)


def test_a_trace_can_be_continued_by_its_id() -> None:
    """The id of a slow request's trace is what its record carries on."""
    assert trace_of(traceparent(TRACE)) == TRACE
