"""The auth service's composition root: ``python -m services.auth``."""

from __future__ import annotations

import sys
from uuid import uuid4

from services.auth.adapters.kong import Consumers, EmbeddedConsumers, TimedConsumers
from services.auth.adapters.variants import FarConsumers, Turn, journal_when, spread_then
from services.auth.app import Dependencies, application
from services.auth.core.tokens import TokenRules, sign
from services.auth.settings import AuthSettings, DemoFault
from tailwatch.probe import Probe
from tailwatch.runtime.metrics import Metrics
from tailwatch.runtime.process import Process, run
from tailwatch.runtime.web import serve


async def main(settings: AuthSettings, process: Process) -> None:
    """Serve until told to stop."""
    metrics = Metrics()
    fault, turn = settings.demo_fault, Turn(settings.demo_fault_after_requests)
    probe: Probe
    consumers: Consumers = EmbeddedConsumers(settings.embedded_consumers_secret.get_secret_value())
    if fault is DemoFault.SLOW_KONG:
        consumers = FarConsumers(consumers, turn)
    app = application(
        Dependencies(
            settings=settings,
            rules=TokenRules(
                issuers=settings.issuers,
                audiences=settings.audiences,
                key_claim=settings.kong_jwt_key_claim_name,
                unique_name_domain=settings.jwt_unique_name_domain,
                lifetime_seconds=settings.jwt_expiration_minutes * 60,
                leeway_seconds=settings.jwt_leeway_seconds,
                algorithm=settings.jwt_algorithm,
            ),
            consumers=TimedConsumers(consumers, lambda dependency, operation: probe.waiting(dependency, operation)),  # noqa: PLW0108  # the probe comes after
            signed=spread_then(sign, turn) if fault is DemoFault.SLOW_SIGNER else sign,
            finished=journal_when(turn) if fault is DemoFault.JSON_BLOAT else lambda answer: answer,
            sla_monitor=lambda: probe.health(),  # noqa: PLW0108  # the probe comes after
            metrics=metrics,
            clock=process.clock,
            new_id=lambda: str(uuid4()),
            started_at=process.clock(),
        )
    )
    probe = Probe(app, service="auth", settings=settings, metrics=metrics, clock=process.clock)
    await serve(
        probe, host=settings.host, port=settings.port, stop=process.stop, grace_seconds=settings.shutdown_grace_seconds
    )


if __name__ == "__main__":
    sys.exit(run("auth", AuthSettings, main))
