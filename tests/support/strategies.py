"""Hypothesis strategies for events, made from their types: whatever a contract allows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from tailwatch.contracts.event import Event
from tailwatch.contracts.timings import RequestTimings, SlowRequest
from tailwatch.contracts.topics import BY_EVENT

TRUE_END = r"$(?!\n)"
"""How patterns of contracts end; for a full match it says nothing more."""


def events() -> st.SearchStrategy[Event]:
    """Return any event that the contracts allow."""
    return st.one_of([values_of(event) for event in BY_EVENT])


@cache
def values_of(contract: Any) -> st.SearchStrategy[Any]:
    """Return any value of a contract's type."""
    return request_timings() if contract is RequestTimings else _of(inspect.type_info(contract))


@st.composite
def request_timings(draw: st.DrawFn) -> RequestTimings:
    """Return any batch of latency events; its columns are of equal length."""
    fields = {field.name: field.type for field in _struct(RequestTimings).fields}
    length = draw(st.integers(0, 5))
    columns = {
        name: tuple(draw(st.lists(_of(_item(fields[name])), min_size=length, max_size=length)))
        for name in ("started_at", "duration_ms", "status", "method", "under_capture")
    }
    others = {name: draw(_of(kind)) for name, kind in fields.items() if name not in {*columns, "slowest", "running_ms"}}
    slowest = draw(st.lists(values_of(SlowRequest), max_size=2))
    running = draw(st.lists(_of(_item(fields["running_ms"])), max_size=2))
    fields_drawn: dict[str, Any] = {**columns, **others, "slowest": tuple(slowest), "running_ms": tuple(running)}
    return RequestTimings(**fields_drawn)


def _struct(contract: type[Event]) -> inspect.StructType:
    found = inspect.type_info(contract)
    assert isinstance(found, inspect.StructType)
    return found


def _item(kind: inspect.Type) -> inspect.Type:
    assert isinstance(kind, inspect.VarTupleType)
    return kind.item_type


def _of(kind: inspect.Type) -> st.SearchStrategy[Any]:  # noqa: C901, PLR0911, PLR0912 (one case per kind of type)
    match kind:
        case inspect.Metadata(type=inner):
            return _of(inner)
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType(ge=low, le=high):
            return st.integers(low, high)
        case inspect.FloatType(ge=low, le=high):
            return st.floats(low, high, allow_nan=False, allow_infinity=False)
        case inspect.StrType(pattern=None):
            return st.text(max_size=20)
        case inspect.StrType(pattern=str(pattern), max_length=longest):
            return st.from_regex(pattern.removesuffix(TRUE_END).removesuffix("$"), fullmatch=True).filter(
                lambda text: len(text) <= (longest or len(text))
            )
        case inspect.BytesType():
            return st.binary(max_size=20)
        case inspect.EnumType(cls=choices):
            return st.sampled_from(list(choices))
        case inspect.LiteralType(values=values):
            return st.sampled_from(list(values))
        case inspect.UnionType(types=types):
            return st.one_of([_of(each) for each in types])
        case inspect.VarTupleType(item_type=item):
            return st.lists(_of(item), max_size=2).map(tuple)
        case inspect.TupleType(item_types=items):
            return st.tuples(*[_of(item) for item in items])
        case inspect.StructType(cls=struct, fields=fields):
            return _built(struct, fields)
        case _:
            raise NotImplementedError(f"no strategy for {kind}: add one here")


def _built(struct: type[msgspec.Struct], fields: Sequence[inspect.Field]) -> st.SearchStrategy[Any]:
    return st.builds(struct, **{field.name: _of(field.type) for field in fields})
