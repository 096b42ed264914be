"""The spool: a capture's folder on local disk, from the first byte until its end is acknowledged.

``.<session>.partial`` is being filled, ``<session>`` is complete. Both hold ``session.json``, written before sampling
begins and locked by the living process that owns it: a lock that can be taken belongs to a killed predecessor. What a
complete folder still needs (upload, announcement) is done at the next start; an unfinished one is announced as
``failed: process_died`` and deleted. All functions block; none belongs on the server's loop.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tailwatch.contracts.captures import Artifact, CaptureCompleted, CaptureKind, CaptureOrigin
from tailwatch.contracts.context import (
    CONTEXT_FILE,
    MANIFEST_FILE,
    SAMPLES_FILE,
    STACKS_FILE,
    Manifest,
    ManifestEntry,
)
from tailwatch.contracts.event import Fact
from tailwatch.contracts.units import BootId, Count, EventId, InstanceId, Instant, ServiceName, SessionId, Target
from tailwatch.probe.adapters.forked_writer import write_durably

SESSION_FILE = "session.json"
ANNOUNCEMENT_FILE = "announcement.json"
STORE_FOLDER = "captures"
PAYLOAD = (CONTEXT_FILE, SAMPLES_FILE, STACKS_FILE)
SHARED_MODE = 0o700
NEW = ".new-"


class SessionRecord(Fact, frozen=True, kw_only=True):
    """Whose capture a folder holds, so that a successor can end it."""

    session_id: SessionId
    service: ServiceName
    target: Target | None
    instance: InstanceId
    boot: BootId
    pid: Count
    at: Instant
    origin: CaptureOrigin
    kind: CaptureKind
    trigger_id: EventId | None
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Complete:
    """A folder that only needs to be published."""

    completed: CaptureCompleted
    traceparent: str | None


@dataclass(slots=True)
class Leftovers:
    """What killed predecessors left."""

    complete: list[Complete] = field(default_factory=list)
    unfinished: list[SessionRecord] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Names of folders that could not be understood, and were deleted."""


class Spool:
    """The sessions of this process in a directory that processes of a host share."""

    def __init__(self, root: Path, *, slots: int) -> None:
        """Use ``root``; at most ``slots`` processes that share it capture at a time."""
        self._root, self._slots = root.absolute(), slots
        self._locks: dict[str, int] = {}
        self._slot: dict[SessionId, int] = {}

    def reserve(self, record: SessionRecord) -> bool:
        """Take a slot and make the session's folder; return False when all slots are taken."""
        self._root.mkdir(parents=True, exist_ok=True, mode=SHARED_MODE)
        slot = self._free_slot()
        if slot is None:
            return False
        self._slot[record.session_id] = slot
        try:
            new = self._root / f"{NEW}{record.session_id}"  # locked before a successor of someone else can see it
            new.mkdir(mode=SHARED_MODE)
            self._locks[record.session_id] = lock = os.open(new / SESSION_FILE, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(lock, msgspec.json.encode(record))
            os.fsync(lock)
            new.rename(self.folder(record.session_id))
            _sync_folder(self._root)
        except OSError:
            self.discard(record.session_id)
            raise
        return True

    def folder(self, session: SessionId) -> Path:
        """Return the folder to write into."""
        return self._root / f".{session}.partial"

    def release_slot(self, session: SessionId) -> None:
        """Let another process capture."""
        slot = self._slot.pop(session, None)
        if slot is not None:
            os.close(slot)

    def complete(self, session: SessionId, context: bytes) -> tuple[Artifact, ...]:
        """Add the context and the manifest; return all files as they will be called in the store."""
        folder = self.folder(session)
        write_durably(folder / CONTEXT_FILE, context)
        entries = tuple(_entry(folder / name) for name in PAYLOAD)
        manifest = Manifest(session_id=session, files=entries)
        write_durably(folder / MANIFEST_FILE, msgspec.json.encode(manifest))
        self.release_slot(session)
        return tuple(
            Artifact(name=stored_name(session, entry.file), size_bytes=entry.size_bytes, sha256=entry.sha256)
            for entry in (*entries, _entry(folder / MANIFEST_FILE))
        )

    def seal(self, completed: CaptureCompleted) -> None:
        """Give a folder whose files are all there its final name, with what is to be announced."""
        folder = self.folder(completed.session_id)
        write_durably(folder / ANNOUNCEMENT_FILE, msgspec.json.encode(completed))
        _sync_folder(folder)
        folder.rename(self._root / completed.session_id)
        _sync_folder(self._root)

    def files(self, session: SessionId) -> list[tuple[str, bytes]]:
        """Return the sealed files as (name in the store, bytes), the manifest last: it is the commit."""
        folder = self._root / session
        return [(stored_name(session, name), (folder / name).read_bytes()) for name in (*PAYLOAD, MANIFEST_FILE)]

    def discard(self, session: SessionId) -> None:
        """Delete a session's folder, sealed or not, and give its slot and its lock back."""
        self.release_slot(session)
        for folder in (self.folder(session), self._root / session, self._root / f"{NEW}{session}"):
            shutil.rmtree(folder, ignore_errors=True)
        lock = self._locks.pop(session, None)
        if lock is not None:
            os.close(lock)

    def leftovers(self) -> Leftovers:
        """Return what killed predecessors left, now owned by this process; unreadable folders are deleted."""
        found = Leftovers()
        for folder in sorted(self._root.glob("*profile-*")) if self._root.is_dir() else []:
            try:
                lock = _taken(folder / SESSION_FILE)
            except OSError:
                continue
            if lock is None:
                continue
            try:
                record = msgspec.json.decode((folder / SESSION_FILE).read_bytes(), type=SessionRecord)
                if folder.name == record.session_id:
                    announcement = (folder / ANNOUNCEMENT_FILE).read_bytes()
                    completed = msgspec.json.decode(announcement, type=CaptureCompleted)
                    found.complete.append(Complete(completed, record.traceparent))
                else:
                    found.unfinished.append(record)
            except (OSError, msgspec.DecodeError, UnicodeDecodeError):
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
                found.unreadable.append(folder.name)
                continue
            self._locks[record.session_id] = lock
        return found

    def _free_slot(self) -> int | None:
        for number in range(self._slots):
            slot = os.open(self._root / f"slot-{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(slot)
                continue
            return slot
        return None


def stored_name(session: SessionId, file: str) -> str:
    """Return a file's name in the artifact store."""
    return f"{STORE_FOLDER}/{session}/{file}"


def _entry(file: Path) -> ManifestEntry:
    content = file.read_bytes()
    return ManifestEntry(file=file.name, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _taken(file: Path) -> int | None:
    """Return a lock on the record of a dead owner, or None when its owner lives."""
    lock = os.open(file, os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
