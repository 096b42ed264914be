"""A small service that is watched: ``hypercorn examples.billing:app --bind 127.0.0.1:3100``."""

from __future__ import annotations

from fastapi import FastAPI

from tailwatch.probe import Probe

api = FastAPI(title="billing")


def total(lines: int) -> int:
    """Return the sum of an invoice's lines, taking a time that grows with their number."""
    amount = 0
    for line in range(lines):
        amount = (amount * 31 + line) % 1_000_003
    return amount


@api.post("/invoices")
async def create_invoice(lines: int = 10) -> dict[str, int]:
    """Create an invoice of so many lines."""
    return {"total": total(lines)}


app = Probe(api, service="billing")
