"""W3C Trace Context values for records. Source: W3C Trace Context level 1, section 3.2."""

from __future__ import annotations

import re
import secrets

_TRACEPARENT = re.compile(r"^00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})$")


def traceparent(trace_id: str | None = None) -> str:
    """Return a traceparent with a new span id, in ``trace_id`` or in a new trace; sampled."""
    return f"00-{trace_id or secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def child_of(parent: str | None) -> str:
    """Return a traceparent for a record that was caused by another: same trace, new span."""
    return traceparent(trace_of(parent))


def trace_of(parent: str | None) -> str | None:
    """Return the trace id of a valid traceparent (version 00, trace id not all zero)."""
    found = _TRACEPARENT.match(parent or "")
    return found[1] if found and found[1].strip("0") else None
