"""Duplicates and gaps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.sla_monitor.core.sequence import BOOT_REMEMBERED_SECONDS, MISSING_REMEMBERED, Sequences

BOOT = "00000000-0000-0000-0000-000000000001"
OTHER = "00000000-0000-0000-0000-000000000002"


def test_the_first_record_of_a_boot_is_no_gap() -> None:
    """A new owner starts in the middle of a boot."""
    seen = Sequences()
    assert seen.accept(BOOT, 41, at=0)
    assert (seen.gaps, seen.duplicates) == (0, 0)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=80))
def test_duplicates_and_gaps_are_what_the_numbers_say(numbers: list[int]) -> None:
    """Accepted once each; the gaps are the numbers between the first and the last that never came."""
    seen = Sequences()
    first = numbers[0]
    accepted = [number for number in numbers if seen.accept(BOOT, number, at=0)]
    expected = {number for number in numbers if number >= first}
    assert sorted(accepted) == sorted(expected)
    assert seen.duplicates == len(numbers) - len(expected)
    assert seen.gaps == max(expected) - first + 1 - len(expected)


def test_boots_are_told_apart() -> None:
    """A restart under the same name is no duplicate."""
    seen = Sequences()
    assert seen.accept(BOOT, 0, at=0)
    assert seen.accept(OTHER, 0, at=0)
    assert seen.duplicates == 0


def test_only_so_many_missing_records_are_remembered() -> None:
    """A hole of any size costs bounded memory; what is older is taken for a duplicate."""
    seen = Sequences()
    assert seen.accept(BOOT, 0, at=0)
    assert seen.accept(BOOT, 10_000_000, at=0)
    assert seen.gaps == 9_999_999
    assert seen.accept(BOOT, 10_000_000 - MISSING_REMEMBERED, at=0)
    assert not seen.accept(BOOT, 5, at=0)


def test_a_silent_boot_is_forgotten() -> None:
    """After 15 minutes nothing that a boot repeats can count."""
    seen = Sequences()
    assert seen.accept(BOOT, 0, at=0)
    seen.forget(BOOT_REMEMBERED_SECONDS)
    assert not seen.accept(BOOT, 0, at=0)
    seen.forget(BOOT_REMEMBERED_SECONDS + 1)
    assert seen.accept(BOOT, 0, at=0)
