"""The doubles that the demo plants: bad at what they are meant to be bad at, and right in their answers."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.auth.adapters import variants
from services.auth.adapters.kong import EmbeddedConsumers
from services.auth.adapters.variants import (
    PLANTED,
    FarConsumers,
    Turn,
    journal,
    journal_when,
    spread,
    spread_then,
)
from services.auth.core.consumers import Consumer, Credential
from services.auth.settings import DemoFault

COST = 0.02
ANSWER = {"access_token": "a.b.c", "token_type": "Bearer", "expires_in": 900}
BOB = Consumer(id="c-17", username="bob")


def cpu_of(work: Callable[[], object]) -> float:
    """Return the CPU time of this thread that some work takes, seconds."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


@given(after=st.integers(0, 20), every=st.integers(1, 6))
def test_one_call_in_so_many_is_affected_after_a_healthy_start(after: int, every: int) -> None:
    """None of the first ``after`` calls; then those whose number is a multiple of ``every``."""
    turn = Turn(after, every)
    affected = [number for number in range(1, 41) if turn.affected()]
    assert affected == [number for number in range(every, 41, every) if number > after]


def test_every_fault_names_the_function_that_it_plants() -> None:
    """What the demo looks for in a report exists under that name."""
    assert set(PLANTED) == {fault.value for fault in DemoFault} - {"none"}
    assert all(callable(operator.attrgetter(name)(variants)) for name in PLANTED.values())


@pytest.mark.parametrize(
    "work", [lambda: spread(b"secret", COST), lambda: journal(ANSWER, COST)], ids=["spread", "journal"]
)
def test_a_planted_function_spends_the_cpu_time_that_it_is_told_to(work: Callable[[], object]) -> None:
    """CPU time, not wall time: at least as much as told, and not ten times as much."""
    assert COST <= cpu_of(work) < 10 * COST


def test_spreading_starts_from_the_text() -> None:
    """Without time to spend the first bytes come back; no bytes are 1, and every value fits 64 bits."""
    assert spread(b"\x00\x00\x00\x00\x00\x00\x01\x02", -1) == 258
    assert spread(b"", -1) == 1
    assert 0 <= spread(b"secret", 0.001) < 1 << 64


@settings(max_examples=20)
@given(answer=st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers(), max_size=4))
def test_a_journal_gives_the_answer_back(answer: dict[str, Any]) -> None:
    """However often it was written and read: the answer's own members, unchanged."""
    assert journal(answer, 1e-4) == answer


def test_a_planted_signer_signs_as_before_and_costs_when_it_is_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls 2 and 4 cost; every call is signed by the real signer with its own arguments."""
    monkeypatch.setattr(variants, "CPU_SECONDS", COST)

    def signed(claims: Mapping[str, Any], credential: Credential) -> str:
        return f"{claims['sub']} {credential.key}"

    signer, said = spread_then(signed, Turn(0, every=2)), list[str]()
    costs = [cpu_of(lambda: said.append(signer({"sub": "bob"}, Credential(key="k", secret="s")))) for _ in range(4)]
    assert [cost >= COST for cost in costs] == [False, True, False, True]
    assert said == ["bob k"] * 4


def test_a_planted_last_step_changes_no_answer_and_costs_when_it_is_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls 2 and 4 go through the journal; the client sees no difference."""
    monkeypatch.setattr(variants, "CPU_SECONDS", COST)
    through, said = journal_when(Turn(0, every=2)), list[Mapping[str, Any]]()
    costs = [cpu_of(lambda: said.append(through(ANSWER))) for _ in range(4)]
    assert [cost >= COST for cost in costs] == [False, True, False, True]
    assert said == [ANSWER] * 4


async def test_far_consumers_wait_without_cpu_when_it_is_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look-up waits, and both give the near consumers' credential."""
    monkeypatch.setattr(variants, "DISTANCE_SECONDS", 0.05)
    near = EmbeddedConsumers("seed")
    far = FarConsumers(near, Turn(0, every=2))
    waits = []
    for _ in range(2):
        began, cpu = time.perf_counter(), time.thread_time()
        assert await far.credential(BOB) == await near.credential(BOB)
        waits.append((time.perf_counter() - began >= 0.049, time.thread_time() - cpu < 0.04))
    assert waits == [(False, True), (True, True)]
