"""``tailwatch doctor``: whether everything that tailwatch needs is here, and what to do if not."""

from __future__ import annotations

import json as jsonlib
from typing import Annotated, Any

import msgspec
from pydantic import SecretStr
from rich.table import Column, Table
from typer import Exit, Option

from services.auth.settings import AuthSettings
from services.cli.adapters.checks import checks
from services.cli.adapters.terminal import err, out
from services.cli.settings import CliSettings
from services.reporter.settings import ReporterSettings
from services.sla_monitor.settings import SlaMonitorSettings
from tailwatch.runtime.process import EXIT_CLEAN, EXIT_CRASHED
from tailwatch.runtime.settings import accepted, load

SETTINGS = (AuthSettings, SlaMonitorSettings, ReporterSettings, CliSettings)


def doctor(
    *,
    settings: Annotated[bool, Option("--settings", help="Show every setting with its effective value.")] = False,
    json: Annotated[bool, Option("--json", help="One JSON object: checks and settings.")] = False,
) -> None:
    """Check that all that is needed is here.

    Versions, the broker, ports, write access and the profiler, with the remedy of whatever is wrong.

    Exit status 1 when something is wrong. Example: tailwatch doctor --settings
    """
    found = list(checks(load(CliSettings)))
    effective = _effective() if settings or json else {}
    wrong = [check for check in found if not check.ok]
    if json:
        out.file.write(jsonlib.dumps({"checks": msgspec.to_builtins(found), "settings": effective}) + "\n")
        raise Exit(EXIT_CRASHED if wrong else EXIT_CLEAN)
    table = Table(box=None, show_header=False, pad_edge=False)
    for check in found:
        table.add_row("[green]ok[/]" if check.ok else "[red]no[/]", check.name, check.found)
    out.print(table)
    if settings:
        listing = Table(Column("setting", no_wrap=True), "value", "meaning", box=None, pad_edge=False)
        for name, entry in effective.items():
            listing.add_row(name, str(entry["value"]), f"{entry['meaning'].rstrip('.')}{entry['accepted']}")
        out.print(listing)
    for check in wrong:
        err.print(f"{check.name}: {check.remedy}", markup=False)
    raise Exit(EXIT_CRASHED if wrong else EXIT_CLEAN)


def _effective() -> dict[str, dict[str, Any]]:
    shown: dict[str, dict[str, Any]] = {}
    for kind in SETTINGS:
        current = load(kind)
        for name, field in kind.model_fields.items():
            value = getattr(current, name)
            shown[name.upper()] = {
                "value": "(hidden)"
                if isinstance(value, SecretStr)
                else (value if isinstance(value, (int, float, bool, type(None))) else str(value)),
                "set": name in current.model_fields_set,
                "meaning": field.description or "",
                "accepted": accepted(kind, name),
            }
    return dict(sorted(shown.items()))
