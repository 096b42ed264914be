"""The command line's composition root: ``tailwatch``, or ``python -m services.cli``."""

from __future__ import annotations

import sys

from services.cli.app import commands
from tailwatch.contracts.errors import ConfigurationError, PipelineError
from tailwatch.runtime.process import EXIT_CRASHED, EXIT_REFUSED


def main() -> None:
    """Run the command that the arguments name; exit 2 with one line when a setting or an argument is refused."""
    try:
        commands()()
    except ConfigurationError as error:
        print(f"tailwatch: {error}", file=sys.stderr)
        sys.exit(EXIT_REFUSED)
    except PipelineError as error:
        print(f"tailwatch: {error}", file=sys.stderr)
        sys.exit(EXIT_CRASHED)


if __name__ == "__main__":
    main()
