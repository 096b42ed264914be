"""The one tree of errors that tailwatch raises on purpose."""

from __future__ import annotations


class PipelineError(Exception):
    """Anything that tailwatch itself found wrong."""


class ContractError(PipelineError):
    """The bytes at one Kafka position are not the event that their topic promises."""

    def __init__(self, *, topic: str, partition: int, offset: int, reason: str) -> None:
        super().__init__(f"{topic}[{partition}]@{offset}: {reason}")
        self.topic, self.partition, self.offset, self.reason = topic, partition, offset, reason


class CaptureRejected(PipelineError):
    """A capture's files cannot be what their event promises: missing, changed, too large or unreadable."""

    def __init__(self, *, session_id: str, reason: str) -> None:
        super().__init__(f"{session_id}: {reason}")
        self.session_id, self.reason = session_id, reason


class ConfigurationError(PipelineError):
    """A setting or a configuration file holds a value that cannot be used."""


class StoreUnavailable(PipelineError):
    """The artifact store does not answer now; trying again later may succeed."""
