"""The artifact store: files by name, in a directory or a bucket, through fsspec."""

from __future__ import annotations

import asyncio
import errno
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import msgspec

from tailwatch.contracts.errors import ConfigurationError, PipelineError, StoreUnavailable
from tailwatch.contracts.units import ArtifactName

LOCAL = ("file", "local")
_NEVER = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP})
"""Answers of a store that is there: no file can be had by that name, however long one waits."""


class ArtifactMissing(PipelineError):
    """The store answers, and has no artifact of that name."""


class ArtifactTooLarge(PipelineError):
    """The artifact is larger than the reader allows."""


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """One file in the store."""

    name: str
    size_bytes: int
    modified_at: float
    """Seconds since the epoch; 0 where the store does not say."""


def checked(name: str) -> str:
    """Return ``name`` if it is an artifact's name; ArtifactMissing otherwise (a scheme, ``..``, an absolute path)."""
    try:
        return msgspec.convert(name, ArtifactName)
    except msgspec.ValidationError as error:
        raise ArtifactMissing(f"{name!r} is not an artifact's name") from error


class ArtifactStore:
    """Reads and writes artifacts by name, off the event loop."""

    def __init__(self, url: str) -> None:
        """Use the store at ``url``: a directory, or any fsspec URL such as ``s3://bucket/prefix``.

        Raises ConfigurationError when no driver for it is known or installed.
        """
        try:
            self._fs, root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise ConfigurationError(
                f"ARTIFACT_STORE_URL with {url.partition('://')[0]}:// is refused: {error}; "
                "accepted a directory, or an fsspec URL whose driver is installed"
            ) from error
        self._root = str(root).rstrip("/")
        self._local = any(protocol in LOCAL for protocol in _protocols(self._fs))

    @property
    def location(self) -> str:
        """Where the store is, for a person."""
        return self._root

    def path(self, name: str) -> str:
        """Return where an artifact is, or would be, for a person."""
        return f"{self._root}/{checked(name)}"

    async def read(self, name: str, limit: int) -> bytes:
        """Return an artifact's bytes; ArtifactTooLarge above ``limit`` bytes."""
        return await asyncio.to_thread(self._guarded, self._read, checked(name), limit)

    async def write(self, name: str, data: bytes) -> None:
        """Write an artifact, whole or not at all; an older one of that name is replaced."""
        await asyncio.to_thread(self._guarded, self._write, checked(name), data)

    async def exists(self, name: str) -> bool:
        """Return whether there is an artifact of that name."""
        return bool(await asyncio.to_thread(self._guarded, self._fs.exists, self.path(name)))

    async def delete(self, name: str) -> None:
        """Delete an artifact, if it is there."""
        await asyncio.to_thread(self._guarded, self._delete, checked(name))

    async def names(self, prefix: str) -> list[StoredArtifact]:
        """Return the artifacts under a folder, by name."""
        found: list[StoredArtifact] = await asyncio.to_thread(self._guarded, self._names, checked(prefix.rstrip("/")))
        return found

    def _guarded(self, work: Any, *arguments: Any) -> Any:
        self._fs.invalidate_cache()  # others write to a bucket too
        try:
            return work(*arguments)
        except OSError as error:
            if isinstance(error, FileNotFoundError) or error.errno in _NEVER:
                raise ArtifactMissing(f"{self._root}: {error}") from error
            raise StoreUnavailable(f"{self._root}: {error}") from error

    def _read(self, name: str, limit: int) -> bytes:
        with self._fs.open(f"{self._root}/{name}", "rb") as file:
            data: bytes = file.read(limit + 1)
        if len(data) > limit:
            raise ArtifactTooLarge(f"{name} is larger than {limit} bytes")
        return data

    def _write(self, name: str, data: bytes) -> None:
        path = f"{self._root}/{name}"
        folder = path.rpartition("/")[0]
        self._fs.makedirs(folder, exist_ok=True)
        if not self._local:
            self._fs.pipe_file(path, data)
            return
        temporary = Path(folder) / f".{uuid4().hex}.part"
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        _sync(folder)

    def _delete(self, name: str) -> None:
        try:
            self._fs.rm_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return

    def _names(self, prefix: str) -> list[StoredArtifact]:
        try:
            found = self._fs.find(f"{self._root}/{prefix}", detail=True)
        except FileNotFoundError:
            return []
        start = len(self._root) + 1
        artifacts = [
            StoredArtifact(path[start:], int(facts["size"] or 0), _modified(facts)) for path, facts in found.items()
        ]
        return sorted(
            (artifact for artifact in artifacts if not artifact.name.startswith(".") and "/." not in artifact.name),
            key=lambda artifact: artifact.name,
        )


def _sync(folder: str) -> None:
    """Make a rename in a folder survive a power cut."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _protocols(filesystem: Any) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _modified(facts: dict[str, Any]) -> float:
    for field in ("mtime", "LastModified", "last_modified", "created"):
        value = facts.get(field)
        if isinstance(value, (int, float)):
            return float(value)
        if isinstance(value, datetime):
            return value.timestamp()
    return 0.0
