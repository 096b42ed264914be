r"""Units, ranges and names as types, checked when a record is decoded.

Patterns end in ``$(?!\n)``: Python's ``$`` alone also matches before a last newline, and ``\Z`` is not in the regular
expressions of JSON Schema (ECMA 262), which these are published in.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

LARGEST_INTEGER = 2**53 - 1
"""Largest integer that every JSON reader keeps exact (RFC 8259, section 6); msgspec could not write one above 2**64."""
LAST_INSTANT = 253_402_300_799
"""9999-12-31T23:59:59Z: the last second that a date can name."""

Instant = Annotated[float, Meta(ge=0, le=LAST_INSTANT, description="Seconds since the epoch, UTC.")]
Seconds = Annotated[float, Meta(ge=0, description="A duration in seconds.")]
Milliseconds = Annotated[float, Meta(ge=0, description="A duration in milliseconds.")]
Megabytes = Annotated[float, Meta(ge=0, description="2**20 bytes.")]
Hertz = Annotated[float, Meta(ge=0, description="Samples per second.")]
Share = Annotated[float, Meta(ge=0, le=1, description="A part of a whole, 0..1.")]
Percent = Annotated[float, Meta(ge=0, description="Hundredths; of one core where it is CPU.")]
Count = Annotated[int, Meta(ge=0, le=LARGEST_INTEGER)]

ServiceName = Annotated[
    str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$(?!\n)", description="Name of a watched service.")
]
Target = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)",
        description="What an SLA is set for, 'POST /tokens': a name from the policy, or method and route template.",
    ),
]
InstanceId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,253}-[0-9]+$(?!\n)", description="<host>-<pid> of one process.")
]
BootId = Annotated[
    str,
    Meta(
        pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$(?!\n)",
        description="UUID of one process start.",
    ),
]
EventId = Annotated[
    str,
    Meta(
        pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$(?!\n)",
        description="UUID of an event; of a derived event UUIDv5 of what it was derived from.",
    ),
]
SessionId = Annotated[
    str,
    Meta(
        pattern=r"^profile-[0-9]{1,15}-[a-z0-9]{1,32}$(?!\n)",
        description="profile-<epoch ms>-<12 hex> of one capture.",
    ),
]
TraceId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$(?!\n)", description="W3C trace id.")]
Fingerprint = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{16}$(?!\n)", description="Of (service, target, rule, operation, function).")
]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
ArtifactName = Annotated[
    str,
    Meta(
        max_length=512,
        pattern=r"^(?:[A-Za-z0-9][A-Za-z0-9._-]*/)*[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)",
        description="Name in the artifact store: no scheme, not absolute, no part starting with a dot.",
    ),
]
