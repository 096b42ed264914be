"""The reporter: analyses in, reports and recommendations out.

Consumes ``profiling.analyses.v1``; produces one report per session in the artifact store (Markdown and HTML), one
record per finding on ``profiling.recommendations.v1``, and the web pages on which reports are read. Decides what is
said, in which order, and what a repeated finding does to a recommendation that is already known.
"""
