"""Samples: Scalene's JSON and what is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzer.core.samples import MAX_DEPTH, Samples, parse_samples
from tailwatch.contracts.errors import CaptureRejected
from tests.support.captures import PROFILES, scalene_json, slow_signer
from tests.support.examples import SESSION


def test_a_recorded_profile_is_read() -> None:
    """What Scalene 2.4.0 wrote for a small program: its stacks, their weights adding up, and its folder."""
    samples = parse_samples((PROFILES / "shop.json").read_bytes(), session_id=SESSION)
    assert samples.entrypoint_dir == "/srv/shop"
    assert len(samples.stacks) == 7
    assert sum(use.cpu_samples for _, use in samples.stacks) == pytest.approx(1.0)


def test_samples_survive_being_written() -> None:
    """What a test writes as Scalene's JSON is what the parser reads."""
    assert parse_samples(scalene_json(slow_signer()), session_id=SESSION) == slow_signer()


def test_a_capture_without_samples_is_an_empty_one() -> None:
    """Scalene writes {} when it saw nothing."""
    assert parse_samples(b"{}", session_id=SESSION) == Samples()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "truncated"),
        (b"\xff\xfe", "not Scalene 2.4 JSON"),
        (b"[]", "Expected `object`"),
        (b'{"stacks": [["a"]]}', "Expected `array`"),
        (b'{"stacks": [[["f"], {"count": -1, "python_time": 0, "c_time": 0, "cpu_samples": 0}]]}', ">= 0"),
        (b'{"stacks": [[["f"], {"count": 1, "python_time": NaN, "c_time": 0, "cpu_samples": 0}]]}', "malformed"),
        (b'{"stacks": [[["f"], {"count": 1, "python_time": 1e300, "c_time": 0, "cpu_samples": 0}]]}', "<= 1"),
        (b'{"stacks": ' + b"[" * 100_000, "not Scalene 2.4 JSON"),
    ],
)
def test_what_is_not_scalenes_json_is_rejected_with_its_reason(data: bytes, said: str) -> None:
    """Wrong shape, negative or impossible numbers, nesting without end: a reason, never a crash."""
    with pytest.raises(CaptureRejected, match="not Scalene") as raised:
        parse_samples(data, session_id=SESSION)
    assert said in raised.value.reason
    assert raised.value.session_id == SESSION


def test_a_stack_without_end_is_rejected() -> None:
    """A stack deeper than any Python program's costs more than it tells."""
    frames = ",".join(['"f"'] * (MAX_DEPTH + 1))
    data = f'{{"stacks": [[[{frames}], {{"count": 1, "python_time": 0, "c_time": 0, "cpu_samples": 1}}]]}}'
    with pytest.raises(CaptureRejected, match="a stack of 2001 frames, at most 2000"):
        parse_samples(data.encode(), session_id=SESSION)


@given(st.binary())
def test_any_bytes_are_samples_or_a_rejection(data: bytes) -> None:
    """There is no third outcome."""
    with suppress(CaptureRejected):
        assert isinstance(parse_samples(data, session_id=SESSION), Samples)
