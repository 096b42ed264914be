"""Who this process is."""

from __future__ import annotations

import msgspec

from tailwatch.contracts.units import BootId, Count, InstanceId, ServiceName


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """One process start of one service."""

    service: ServiceName
    service_version: str
    commit: str
    instance: InstanceId
    boot: BootId
    pid: Count
