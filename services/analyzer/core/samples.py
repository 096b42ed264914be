"""The samples of a CPU capture: Scalene 2.4's JSON, reduced to the stacks that it holds."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tailwatch.contracts.errors import CaptureRejected

MAX_STACKS = 500_000
MAX_DEPTH = 2_000

Weight = Annotated[float, Meta(ge=0, le=1e9)]


class StackUse(msgspec.Struct, frozen=True, kw_only=True):
    """How often a stack was seen, and its weights: parts of the capture's whole sampled time."""

    count: Annotated[int, Meta(ge=0, le=1_000_000_000)]
    python_time: Weight
    c_time: Weight
    cpu_samples: Weight


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """What is used of Scalene's file; the rest of it is not read."""

    stacks: Annotated[tuple[tuple[tuple[str, ...], StackUse], ...], Meta(max_length=MAX_STACKS)] = ()
    """Frames as ``<file> <qualified function>:<line>;``, outermost first."""
    entrypoint_dir: str = ""
    """The source root that the profiler was told; empty when it was told none."""


_DECODER = msgspec.json.Decoder(Samples)


def parse_samples(data: bytes, *, session_id: str) -> Samples:
    """Return the samples in Scalene's JSON.

    A capture in which nothing was sampled is ``{}`` in Scalene's words: no stacks. Raises CaptureRejected when
    the bytes are something else.
    """
    try:
        samples = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CaptureRejected(session_id=session_id, reason=f"the samples are not Scalene 2.4 JSON: {error}") from error
    deepest = max((len(frames) for frames, _ in samples.stacks), default=0)
    if deepest > MAX_DEPTH:
        raise CaptureRejected(session_id=session_id, reason=f"a stack of {deepest} frames, at most {MAX_DEPTH}")
    return samples
