"""Captures in the artifact store: a session's files, checked against what was announced.

Raises CaptureRejected for everything that can never become right, and lets StoreUnavailable pass.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import zstandard

from services.analyzer.core.samples import Samples, parse_samples
from tailwatch.contracts.analyses import ProfileAnalysis
from tailwatch.contracts.captures import Artifact, CaptureCompleted
from tailwatch.contracts.context import CONTEXT_FILE, MANIFEST_FILE, SAMPLES_FILE, CaptureContext, Manifest
from tailwatch.contracts.errors import CaptureRejected
from tailwatch.runtime.artifacts import ArtifactMissing, ArtifactStore, ArtifactTooLarge
from tailwatch.runtime.logs import logger

log = logger(__name__)

ANALYSIS_FILE = "analysis.json"
MAX_DOCUMENT_BYTES = 4 * 2**20
MAX_ANALYSIS_BYTES = 4 * 2**20
MAX_WINDOW_BYTES = 2**27
"""Largest zstd window that is accepted: bounds the memory of one decompression."""

Document = TypeVar("Document")

_CONTEXT = msgspec.json.Decoder(CaptureContext)
_MANIFEST = msgspec.json.Decoder(Manifest)
_ANALYSIS = msgspec.json.Decoder(ProfileAnalysis)


@dataclass(frozen=True, slots=True)
class Capture:
    """A capture's files, understood."""

    context: CaptureContext
    samples: Samples


class CaptureFiles:
    """Reads captures, and keeps their analyses beside them."""

    def __init__(self, store: ArtifactStore, *, max_stored_bytes: int, max_samples_bytes: int) -> None:
        """``max_stored_bytes`` bounds the compressed samples, ``max_samples_bytes`` what they may unpack to."""
        self._store, self._max_stored, self._max_samples = store, max_stored_bytes, max_samples_bytes

    async def load(self, event: CaptureCompleted) -> Capture:
        """Return the capture that an event announced."""
        session = event.session_id
        announced = {artifact.name: artifact for artifact in event.artifacts}
        listed = await self._manifest(session, announced)
        context_bytes = await self._file(session, CONTEXT_FILE, announced, listed, MAX_DOCUMENT_BYTES)
        context = _document(context_bytes, _CONTEXT, session, CONTEXT_FILE)
        _agree(event, context)
        packed = await self._file(session, SAMPLES_FILE, announced, listed, self._max_stored)
        return Capture(context, parse_samples(unpacked(packed, self._max_samples, session), session_id=session))

    async def analysis(self, session: str) -> ProfileAnalysis | None:
        """Return the analysis that was already made of a session, or None."""
        try:
            data = await self._store.read(_name(session, ANALYSIS_FILE), MAX_ANALYSIS_BYTES)
            analysis = _ANALYSIS.decode(data)
        except ArtifactMissing:
            return None
        except (ArtifactTooLarge, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("analysis_unreadable", session=session, error=str(error))
            return None
        return analysis if analysis.session_id == session else None

    async def keep(self, analysis: ProfileAnalysis) -> None:
        """Write an analysis beside its capture, so that a repetition is the same."""
        await self._store.write(_name(analysis.session_id, ANALYSIS_FILE), msgspec.json.encode(analysis))

    async def _manifest(self, session: str, announced: dict[str, Artifact]) -> dict[str, tuple[int, str]]:
        data = await self._read(session, MANIFEST_FILE, MAX_DOCUMENT_BYTES)
        _check(session, MANIFEST_FILE, data, announced.get(_name(session, MANIFEST_FILE)))
        manifest = _document(data, _MANIFEST, session, MANIFEST_FILE)
        if manifest.session_id != session:
            raise CaptureRejected(session_id=session, reason=f"{MANIFEST_FILE} is of session {manifest.session_id}")
        return {entry.file: (entry.size_bytes, entry.sha256) for entry in manifest.files}

    async def _file(
        self,
        session: str,
        file: str,
        announced: dict[str, Artifact],
        listed: dict[str, tuple[int, str]],
        limit: int,
    ) -> bytes:
        if file not in listed:
            raise CaptureRejected(session_id=session, reason=f"{MANIFEST_FILE} does not list {file}")
        name = _name(session, file)
        if name not in announced:
            raise CaptureRejected(session_id=session, reason=f"the event does not announce {file}")
        size, sha256 = listed[file]
        data = await self._read(session, file, limit)
        _check(session, file, data, announced[name])
        _check(session, file, data, Artifact(name=name, size_bytes=size, sha256=sha256))
        return data

    async def _read(self, session: str, file: str, limit: int) -> bytes:
        try:
            return await self._store.read(_name(session, file), limit)
        except ArtifactMissing as error:
            raise CaptureRejected(session_id=session, reason=f"{file} is missing: evicted or never written") from error
        except ArtifactTooLarge as error:
            raise CaptureRejected(session_id=session, reason=f"{file} is larger than {limit:,} bytes") from error


def unpacked(packed: bytes, limit: int, session: str) -> bytes:
    """Return zstd frames unpacked, at most ``limit`` bytes, whatever they claim."""
    try:
        with zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(packed) as reader:
            data: bytes = reader.read(limit + 1)
    except zstandard.ZstdError as error:
        raise CaptureRejected(session_id=session, reason=f"{SAMPLES_FILE} is not zstd: {error}") from error
    if len(data) > limit:
        raise CaptureRejected(session_id=session, reason=f"{SAMPLES_FILE} unpacks to more than {limit:,} bytes")
    return data


def _name(session: str, file: str) -> str:
    return f"captures/{session}/{file}"


def _check(session: str, file: str, data: bytes, promised: Artifact | None) -> None:
    if promised is None:
        return
    if len(data) != promised.size_bytes:
        reason = f"{file} has {len(data):,} bytes, {promised.size_bytes:,} were announced"
        raise CaptureRejected(session_id=session, reason=reason)
    if hashlib.sha256(data).hexdigest() != promised.sha256:
        raise CaptureRejected(session_id=session, reason=f"{file} is not what was announced: its SHA-256 differs")


def _document(data: bytes, decoder: msgspec.json.Decoder[Document], session: str, file: str) -> Document:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CaptureRejected(session_id=session, reason=f"{file} cannot be read: {error}") from error


def _agree(event: CaptureCompleted, context: CaptureContext) -> None:
    for field in ("session_id", "service", "target", "instance", "pid", "kind", "origin"):
        said, found = getattr(event, field), getattr(context, field)
        if said != found:
            reason = f"{CONTEXT_FILE} says {field} {found!r}, the event {said!r}"
            raise CaptureRejected(session_id=event.session_id, reason=reason)
