"""The terminal: answers on stdout, progress and complaints on stderr."""

from __future__ import annotations

from rich.console import Console

out = Console(highlight=False, soft_wrap=True)
"""What was asked for."""
err = Console(stderr=True, highlight=False, soft_wrap=True)
"""Progress, and what went wrong."""
