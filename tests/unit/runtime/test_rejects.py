"""Rejects: the position, the reason and the bytes, always sendable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailwatch.contracts.codec import decode, encode
from tailwatch.contracts.errors import ContractError
from tailwatch.runtime.rejects import rejected


def error_with(reason: str) -> ContractError:
    """Return an error at one position."""
    return ContractError(topic="sla.statuses.v1", partition=2, offset=7, reason=reason)


@pytest.mark.parametrize(("size", "kept"), [(0, 0), (10, 10), (65_536, 65_536), (70_000, 65_536)])
def test_a_reject_keeps_at_most_64_kb(size: int, kept: int) -> None:
    """The true size is said, the first 64 KB are kept."""
    record = rejected(b"x" * size, error=error_with("bad"), by="analyzer", at=5.0)
    assert (record.size_bytes, len(record.value)) == (size, kept)
    assert (record.topic, record.partition, record.offset) == ("sla.statuses.v1", 2, 7)
    assert (record.reason, record.rejected_by, record.at) == ("bad", "analyzer", 5.0)


def test_a_tombstone_is_rejected_as_empty() -> None:
    """A record without a value has no bytes to keep."""
    record = rejected(None, error=error_with("no value"), by="analyzer", at=5.0)
    assert (record.size_bytes, record.value) == (0, b"")


@given(reason=st.text(alphabet=st.characters(exclude_categories=())), value=st.binary())
def test_a_reject_can_always_be_sent(reason: str, value: bytes) -> None:
    """Whatever an error quotes, half characters too, the reject is a record that its readers accept."""
    record = rejected(value, error=error_with(reason), by="analyzer", at=5.0)
    sent = encode(record, source="/tailwatch/analyzer", at=5.0)
    assert decode(sent.value, topic=sent.topic) == record
    assert len(record.reason) <= 1000
