"""Acknowledgements in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.sla_monitor.core.backlog import Backlog


@given(st.lists(st.floats(0, 100), max_size=30), st.lists(st.floats(0, 100), max_size=10))
def test_nothing_overtakes_the_record_in_front(needed: list[float], times: list[float]) -> None:
    """At any time exactly the longest prefix that is no longer needed has been released, each record once."""
    backlog: Backlog[int] = Backlog()
    for token, until in enumerate(needed):
        backlog.add(token, needed_until=until)
    released: list[int] = []
    for now in sorted(times):
        released += backlog.released(now)
        prefix = next((place for place, until in enumerate(needed) if until > now), len(needed))
        assert released == list(range(prefix))
        assert len(backlog) == len(needed) - prefix
