"""The SLA monitor: says of every target whether it keeps its limits, and asks for a capture when it does not.

Consumes ``http.request-timings.v1`` and ``profiling.captures.v1``. Produces ``sla.statuses.v1``,
``profiling.triggers.v1`` and, for what it cannot understand, ``pipeline.rejects.v1``.
Decides: is the limit broken over both windows, may a capture be asked for now, and which process is asked.
"""
