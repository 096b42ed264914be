"""The embedded broker: librdkafka's mock cluster (it ships inside confluent-kafka) as a process of its own.

For a laptop and for tests: loopback only, in memory, 5 MB kept per partition (older records vanish), no compaction,
nothing survives its restart. Topics appear on first use, with 4 partitions. The port is the kernel's choice.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Producer

from tailwatch.contracts.errors import PipelineError

START_SECONDS = 15.0


class BrokerNotStarted(PipelineError):
    """The embedded broker's process ended or stayed silent instead of saying where it listens."""


class EmbeddedBroker:
    """A running embedded broker; a context manager that ends it."""

    def __init__(self) -> None:
        """Start the process and wait until it says where it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tailwatch.runtime.embedded_broker", "--exit-with-stdin"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        giving_up = threading.Timer(START_SECONDS, self._process.kill)
        giving_up.start()
        stdout = self._process.stdout
        line = stdout.readline() if stdout else b""
        giving_up.cancel()
        if not line:
            self.close()
            raise BrokerNotStarted(f"the embedded broker did not start (exit status {self._process.returncode})")
        self.bootstrap_servers: str = json.loads(line)["bootstrapServers"]

    @property
    def pid(self) -> int:
        """The broker's process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit status if it has ended."""
        return self._process.poll()

    def close(self) -> None:
        """End the process and wait for its end."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.terminate()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _wait_for_end_of_stdin(done: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    done.set()


def main() -> int:
    """Run a broker until SIGTERM, SIGINT or, if asked, the end of stdin."""
    parser = argparse.ArgumentParser(description="Run tailwatch's embedded Kafka broker on loopback.")
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when stdin does: with the parent process")
    arguments = parser.parse_args()
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    configuration: dict[str, Any] = {
        "bootstrap.servers": "mock",
        "test.mock.num.brokers": 1,
        "log_level": 0,
    }
    owner = Producer(configuration)
    broker = next(iter(owner.list_topics(timeout=START_SECONDS).brokers.values()))
    sys.stdout.write(json.dumps({"bootstrapServers": f"{broker.host}:{broker.port}", "pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    if arguments.exit_with_stdin:
        threading.Thread(target=_wait_for_end_of_stdin, args=(done,), daemon=True).start()
    while not done.wait(0.5):
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
