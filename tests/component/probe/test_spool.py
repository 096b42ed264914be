"""The spool: what a capture leaves on disk, and what a successor makes of it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tailwatch.contracts.captures import CaptureCompleted, CaptureKind, CaptureOrigin
from tailwatch.contracts.context import CONTEXT_FILE, MANIFEST_FILE, SAMPLES_FILE, STACKS_FILE, Manifest
from tailwatch.probe.adapters.spool import SessionRecord, Spool

BOOT = "0c8b1f2e-6f0b-4b0e-9a53-7e1a3b1f7c55"

KILLED = """
import os, sys, pathlib, msgspec
from tailwatch.probe.adapters.spool import *
record = msgspec.json.decode(sys.argv[2], type=SessionRecord)
spool = Spool(pathlib.Path(sys.argv[1]), slots=1)
assert spool.reserve(record)
print("reserved", flush=True)
sys.stdin.read()
"""


def record(number: int = 1) -> SessionRecord:
    """Return whose capture it is."""
    return SessionRecord(
        session_id=f"profile-{number}-abc",
        service="auth",
        target="POST /tokens",
        instance="host-7",
        boot=BOOT,
        pid=7,
        at=1.0,
        origin=CaptureOrigin.SLA,
        kind=CaptureKind.CPU,
        trigger_id=BOOT,
        traceparent=None,
    )


def completed(number: int = 1) -> CaptureCompleted:
    """Return what is announced in the end."""
    return CaptureCompleted(
        service="auth",
        target="POST /tokens",
        instance="host-7",
        boot=BOOT,
        pid=7,
        at=2.0,
        origin=CaptureOrigin.SLA,
        kind=CaptureKind.CPU,
        trigger_id=BOOT,
        session_id=f"profile-{number}-abc",
        started_at=1.0,
        ended_at=2.0,
        partial=False,
        samples=10,
        overhead_percent=1.0,
        artifacts=(),
    )


def sealed(spool: Spool) -> None:
    """Bring a session as far as a folder with its final name."""
    assert spool.reserve(record())
    folder = spool.folder("profile-1-abc")
    (folder / SAMPLES_FILE).write_bytes(b"samples")
    (folder / STACKS_FILE).write_bytes(b"")
    spool.complete("profile-1-abc", b"{}")
    spool.seal(completed())


def test_the_manifest_names_every_file_with_its_size_and_hash(tmp_path: Path) -> None:
    """And is itself the last of the artifacts."""
    spool = Spool(tmp_path, slots=1)
    assert spool.reserve(record())
    folder = spool.folder("profile-1-abc")
    (folder / SAMPLES_FILE).write_bytes(b"samples")
    (folder / STACKS_FILE).write_bytes(b"")
    artifacts = spool.complete("profile-1-abc", b"{}")
    manifest = msgspec.json.decode((folder / MANIFEST_FILE).read_bytes(), type=Manifest)
    assert [entry.file for entry in manifest.files] == [CONTEXT_FILE, SAMPLES_FILE, STACKS_FILE]
    assert manifest.files[1].sha256 == hashlib.sha256(b"samples").hexdigest()
    assert [artifact.name for artifact in artifacts] == [
        f"captures/profile-1-abc/{name}" for name in (CONTEXT_FILE, SAMPLES_FILE, STACKS_FILE, MANIFEST_FILE)
    ]
    assert artifacts[1].size_bytes == 7


def test_files_are_uploaded_with_the_manifest_last(tmp_path: Path) -> None:
    """It is the commit."""
    spool = Spool(tmp_path, slots=1)
    sealed(spool)
    assert [name.rpartition("/")[2] for name, _ in spool.files("profile-1-abc")][-1] == MANIFEST_FILE


def test_a_host_captures_as_often_at_a_time_as_it_has_slots(tmp_path: Path) -> None:
    """A slot is free again once the files are complete, or the session is discarded."""
    first, second = Spool(tmp_path, slots=1), Spool(tmp_path, slots=1)
    assert first.reserve(record())
    assert not second.reserve(record(2))
    first.discard("profile-1-abc")
    assert second.reserve(record(2))


def test_what_a_living_process_has_is_left_alone(tmp_path: Path) -> None:
    """Its lock says so, whatever its pid is."""
    owner = Spool(tmp_path, slots=2)
    sealed(owner)
    assert owner.reserve(record(2))
    found = Spool(tmp_path, slots=2).leftovers()
    assert (found.complete, found.unfinished, found.unreadable) == ([], [], [])


def test_a_killed_process_leaves_an_unfinished_session(tmp_path: Path) -> None:
    """SIGKILL; the record says whose it was, the lock that nobody owns it."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path), msgspec.json.encode(record()).decode()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"reserved\n"
        spool = Spool(tmp_path, slots=1)
        assert spool.leftovers().unfinished == []
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert spool.leftovers().unfinished == [record()]
    assert Spool(tmp_path, slots=1).leftovers().unfinished == [], "two successors must not both announce it"
    spool.discard("profile-1-abc")
    assert [path.name for path in tmp_path.iterdir()] == ["slot-0.lock"]


def test_a_sealed_session_of_a_dead_process_is_finished(tmp_path: Path) -> None:
    """It only needs to be uploaded and announced."""
    pid = os.fork() if sys.version_info < (3, 12) else None
    if pid is None:
        pytest.skip("forking this process warns since Python 3.12")
    if pid == 0:
        sealed(Spool(tmp_path, slots=1))
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    found = Spool(tmp_path, slots=1).leftovers()
    assert [left.completed for left in found.complete] == [completed()]


def test_a_folder_that_cannot_be_understood_is_deleted_and_named(tmp_path: Path) -> None:
    """Rubbish does not stop a start."""
    folder = tmp_path / ".profile-1-abc.partial"
    folder.mkdir()
    (folder / "session.json").write_bytes(b"rubbish")
    (tmp_path / "profile-2-empty").mkdir()
    assert Spool(tmp_path, slots=1).leftovers().unreadable == [".profile-1-abc.partial"]
    assert not folder.exists()


def test_nothing_was_ever_captured(tmp_path: Path) -> None:
    """No folder, no leftovers."""
    assert Spool(tmp_path / "none", slots=1).leftovers().unfinished == []


def test_a_spool_that_cannot_be_written_says_so_and_keeps_no_slot(tmp_path: Path) -> None:
    """A second session of the same name cannot be reserved."""
    spool = Spool(tmp_path, slots=1)
    (tmp_path / ".new-profile-1-abc").write_bytes(b"in the way")
    with pytest.raises(FileExistsError):
        spool.reserve(record())
    (tmp_path / ".new-profile-1-abc").unlink()
    assert spool.reserve(record())
