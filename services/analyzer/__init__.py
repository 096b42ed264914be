"""The analyzer: captures in, analyses out.

Consumes ``profiling.captures.v1`` and the files that a completed capture left in the artifact store; produces
``profiling.analyses.v1``, one analysis per session. Decides whose CPU time it was, whether it was work or wait,
which budgets it breaks and what would bring them back.
"""
