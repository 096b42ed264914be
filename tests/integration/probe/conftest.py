"""The runtime's broker: empty, and of one test alone."""

from __future__ import annotations

from tests.integration.runtime.conftest import kafka

__all__ = ["kafka"]
