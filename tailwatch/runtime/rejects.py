"""Records that could not be understood, as facts of their own."""

from __future__ import annotations

from tailwatch.contracts.errors import ContractError
from tailwatch.contracts.rejects import MAX_REJECTED_BYTES, RejectedRecord


def rejected(value: bytes | None, *, error: ContractError, by: str, at: float) -> RejectedRecord:
    """Return the reject of one record: its position, the reason and at most 64 KB of its bytes."""
    content = value or b""
    return RejectedRecord(
        topic=error.topic,
        partition=error.partition,
        offset=error.offset,
        reason=error.reason[:1000].encode(errors="replace").decode(),  # an error may quote half a character
        rejected_by=by,
        at=at,
        size_bytes=len(content),
        value=content[:MAX_REJECTED_BYTES],
    )
