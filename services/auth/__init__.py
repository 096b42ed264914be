"""auth: issues and validates JWTs for the consumers of an API gateway (Kong).

Consumes HTTP. Produces tokens, and through the probe ``http.request-timings.v1`` and ``profiling.captures.v1``.
Decides who gets a token: a known consumer, not anonymous, with a usable credential.
"""
