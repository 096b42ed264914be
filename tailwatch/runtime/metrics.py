"""Metrics of this process: their names in one place, Prometheus in one registry."""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

CounterName = Literal[
    "http_requests_total",
    "authentication_attempts_total",
    "authentication_success_total",
    "authentication_failures_total",
    "kong_operations_total",
    "kong_cache_hits_total",
    "kong_cache_misses_total",
    "latency_events_published_total",
    "latency_events_dropped_total",
    "profiling_sessions_total",
    "pipeline_rejects_total",
]
GaugeName = Literal["http_requests_in_flight", "latency_publish_queue_length", "profiling_overhead_percent"]
HistogramName = Literal[
    "http_request_duration_seconds",
    "jwt_token_creation_duration_seconds",
    "kong_operation_duration_seconds",
    "profiling_session_duration_seconds",
]

_COUNTERS: dict[CounterName, tuple[str, tuple[str, ...]]] = {
    "http_requests_total": ("Requests answered.", ("method", "route", "status_code")),
    "authentication_attempts_total": ("Tokens asked for.", ()),
    "authentication_success_total": ("Tokens issued.", ()),
    "authentication_failures_total": ("Tokens refused, by error code.", ("code",)),
    "kong_operations_total": ("Calls to Kong's Admin API.", ("operation", "outcome")),
    "kong_cache_hits_total": ("Look-ups answered from memory.", ("operation",)),
    "kong_cache_misses_total": ("Look-ups that had to ask Kong.", ("operation",)),
    "latency_events_published_total": ("Requests reported to Kafka.", ()),
    "latency_events_dropped_total": ("Requests not reported.", ("reason",)),
    "profiling_sessions_total": ("Captures by kind and outcome.", ("kind", "outcome")),
    "pipeline_rejects_total": ("Records that could not be understood.", ("topic",)),
}
_GAUGES: dict[GaugeName, tuple[str, tuple[str, ...]]] = {
    "http_requests_in_flight": ("Requests running.", ()),
    "latency_publish_queue_length": ("Requests waiting to be reported.", ()),
    "profiling_overhead_percent": ("CPU of the newest capture, percent of one core.", ()),
}
_HISTOGRAMS: dict[HistogramName, tuple[str, tuple[str, ...]]] = {
    "http_request_duration_seconds": ("Duration of requests.", ("method", "route")),
    "jwt_token_creation_duration_seconds": ("Duration of signing.", ()),
    "kong_operation_duration_seconds": ("Duration of calls to Kong.", ("operation",)),
    "profiling_session_duration_seconds": ("Duration of captures.", ("kind",)),
}


class Metrics:
    """All instruments of one process, in a registry of its own."""

    def __init__(self) -> None:
        """Create every instrument, so that each is exported from the start."""
        self.registry = CollectorRegistry()
        self._counters = {
            name: Counter(name.removesuffix("_total"), text, labels, registry=self.registry)
            for name, (text, labels) in _COUNTERS.items()
        }
        self._gauges = {
            name: Gauge(name, text, labels, registry=self.registry) for name, (text, labels) in _GAUGES.items()
        }
        self._histograms = {
            name: Histogram(name, text, labels, registry=self.registry) for name, (text, labels) in _HISTOGRAMS.items()
        }

    def count(self, name: CounterName, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        counter = self._counters[name]
        (counter.labels(**labels) if labels else counter).inc(amount)

    def gauge(self, name: GaugeName, value: float, **labels: str) -> None:
        """Set a gauge."""
        gauge = self._gauges[name]
        (gauge.labels(**labels) if labels else gauge).set(value)

    def observe(self, name: HistogramName, value: float, **labels: str) -> None:
        """Add a value, in the unit of the name, to a histogram."""
        histogram = self._histograms[name]
        (histogram.labels(**labels) if labels else histogram).observe(value)

    def value(self, name: CounterName | GaugeName, **labels: str) -> float:
        """Return the value of a counter or gauge (0 before its first use)."""
        return self.registry.get_sample_value(name, labels) or 0.0
