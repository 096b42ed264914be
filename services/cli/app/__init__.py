"""The commands of ``tailwatch``."""

from __future__ import annotations

from typer import Typer

from services.cli.app.demo import demo
from services.cli.app.doctor import doctor
from services.cli.app.events import events
from services.cli.app.topics import topics
from services.cli.app.up import up
from services.cli.app.why import why

HELP = """Watch the tail of a service's latency; when it breaks its SLA, capture why, in the process that is slow.

Start with: tailwatch demo
"""


def commands() -> Typer:
    """Return the command line."""
    app = Typer(
        name="tailwatch", help=HELP, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    for command in (up, demo, events, why, topics, doctor):
        app.command()(command)
    return app
