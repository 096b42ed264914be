"""Intervals: how sure a share of samples is."""

from __future__ import annotations

from math import sqrt

from tailwatch.contracts.analyses import ShareInterval

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the standard normal distribution."""


def wilson(share: float, samples: float) -> tuple[float, float]:
    """Return the Wilson score interval (low, high) at 95 % of a share found in ``samples``; (0, 1) without samples.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.
    """
    if samples <= 0:
        return 0.0, 1.0
    square = Z95 * Z95
    spread = 1 + square / samples
    middle = (share + square / (2 * samples)) / spread
    half = Z95 * sqrt(share * (1 - share) / samples + square / (4 * samples * samples)) / spread
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def share_interval(part: float, whole: float, *, samples: int, effective: float) -> ShareInterval:
    """Return the share ``part / whole`` of ``samples``, with the interval of ``effective`` equal samples."""
    share = min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0
    low, high = wilson(share, min(float(samples), effective))
    return ShareInterval(share=round(share, 6), low=round(low, 6), high=round(high, 6), samples=samples)


def effective_samples(counts: list[int], weights: list[float]) -> float:
    """Return how many equally heavy samples carry as much as these (at most the sum of ``counts``).

    Samples differ in weight when native calls delay the signal. Source: L. Kish, Survey Sampling, 1965, (11.2.1).
    """
    squares = sum(weight * weight / count for count, weight in zip(counts, weights, strict=True) if count > 0)
    return sum(weights) ** 2 / squares if squares > 0 else 0.0
