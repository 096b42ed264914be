"""A shop of one checkout: prices are worked out, the receipt is JSON, and in between nobody comes."""

from __future__ import annotations

import asyncio
import json
import threading
import time

PARTS = [{"part": number, "cents": number * 37 % 991} for number in range(6000)]


def price(rounds: int) -> int:
    """Return what a basket costs; takes its time."""
    total = 0
    for number in range(rounds):
        total = (total * 31 + number) % 1_000_003
    return total


async def checkout() -> int:
    """Return the length of a receipt."""
    total = price(180_000)
    return len(json.dumps({"total": total, "parts": PARTS}))


async def main(seconds: float) -> None:
    """Serve customers, one every 30 ms of rest."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await checkout()
        await asyncio.sleep(0.03)


if __name__ == "__main__":
    parked = threading.Thread(target=threading.Event().wait, daemon=True)
    parked.start()
    asyncio.run(main(6.0))
