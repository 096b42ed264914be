"""The analyzer's shell over a store: broken captures are rejected with their reason, and an outcome happens once."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import zstandard

from services.analyzer.adapters.captures import ANALYSIS_FILE, CaptureFiles, unpacked
from services.analyzer.adapters.catalogue import load_catalogue
from services.analyzer.app import Analyzer
from tailwatch.contracts.analyses import ProfileAnalysis
from tailwatch.contracts.captures import Artifact, CaptureCompleted, CaptureKind
from tailwatch.contracts.context import CONTEXT_FILE, MANIFEST_FILE, SAMPLES_FILE, Manifest
from tailwatch.contracts.errors import CaptureRejected, ConfigurationError, StoreUnavailable
from tailwatch.contracts.event import Event
from tailwatch.contracts.policy import parse_policy
from tailwatch.contracts.topics import CAPTURES
from tailwatch.runtime.artifacts import ArtifactStore
from tailwatch.runtime.pump import Delivery
from tests.support import examples
from tests.support.captures import MemoryStore, context, scalene_json, slow_signer, stored
from tests.support.examples import SESSION

CONFIG = Path(__file__).parents[3] / "config"
POLICY = parse_policy(tomllib.loads((CONFIG / "tailwatch.toml").read_text(encoding="utf-8")), name="policy")
FOLDER = f"captures/{SESSION}"
UNFINISHED = [
    event
    for event in vars(examples).values()
    if isinstance(event, CAPTURES.events) and not isinstance(event, CaptureCompleted)
]


def delivered(event: Event) -> Delivery:
    """Return an event as the pump hands it over."""
    return Delivery(event=event, topic=CAPTURES.name, partition=0, offset=7, traceparent=None, received_at=0.0)


def analyzer(store: MemoryStore, *, max_stored: int = 10**7, max_samples: int = 10**8) -> Analyzer:
    """Return an analyzer over a store."""
    files = CaptureFiles(cast("ArtifactStore", store), max_stored_bytes=max_stored, max_samples_bytes=max_samples)
    return Analyzer(files, policy=POLICY, catalogue=load_catalogue(CONFIG))


async def test_a_completed_capture_is_analysed_and_kept() -> None:
    """One event out, and the same analysis beside the capture."""
    event, files = stored(context(), scalene_json(slow_signer()))
    store = MemoryStore(files)
    (analysis,) = await analyzer(store).handle(delivered(event))
    assert isinstance(analysis, ProfileAnalysis)
    assert analysis.functions[0].function == "derive"
    assert msgspec.json.decode(store.files[f"{FOLDER}/{ANALYSIS_FILE}"], type=ProfileAnalysis) == analysis


async def test_a_capture_delivered_again_gives_the_analysis_that_was_made() -> None:
    """After a kill between publishing and commit: the same record, from the store, even if the files are gone."""
    event, files = stored(context(), scalene_json(slow_signer()))
    store = MemoryStore(files)
    once = await analyzer(store).handle(delivered(event))
    for name in files:
        del store.files[name]
    again = await analyzer(store).handle(delivered(event))
    assert msgspec.json.encode(list(once)) == msgspec.json.encode(list(again))
    assert store.written == {f"{FOLDER}/{ANALYSIS_FILE}": 1}


@pytest.mark.parametrize("left", [b"{", b"\xff", b"x" * (5 * 2**20)])
async def test_a_kept_analysis_that_cannot_be_read_is_made_anew(left: bytes) -> None:
    """What a crash left half-written does not stop the analysis."""
    event, files = stored(context(), scalene_json(slow_signer()))
    store = MemoryStore({**files, f"{FOLDER}/{ANALYSIS_FILE}": left})
    (analysis,) = await analyzer(store).handle(delivered(event))
    assert isinstance(analysis, ProfileAnalysis)


async def test_an_analysis_of_another_session_is_not_believed() -> None:
    """A file under this session's name that speaks of another is not its analysis."""
    event, files = stored(context(), scalene_json(slow_signer()))
    foreign = msgspec.structs.replace(examples.ANALYSIS, session_id="profile-1-a")
    store = MemoryStore({**files, f"{FOLDER}/{ANALYSIS_FILE}": msgspec.json.encode(foreign)})
    (analysis,) = await analyzer(store).handle(delivered(event))
    assert isinstance(analysis, ProfileAnalysis)
    assert analysis.session_id == SESSION


@pytest.mark.parametrize("event", UNFINISHED, ids=lambda event: type(event).__name__)
async def test_only_completed_captures_are_analysed(event: Event) -> None:
    """Started, refused, aborted, failed and evicted captures have nothing to analyse."""
    assert await analyzer(MemoryStore()).handle(delivered(event)) == ()


def announced(event: CaptureCompleted, file: str, **changes: Any) -> CaptureCompleted:
    """Return an event with one artifact changed."""
    artifacts = tuple(
        msgspec.structs.replace(artifact, **changes) if artifact.name.endswith(file) else artifact
        for artifact in event.artifacts
    )
    return msgspec.structs.replace(event, artifacts=artifacts)


def listing(
    files: dict[str, bytes], change: Callable[[Manifest], Manifest], event: CaptureCompleted
) -> CaptureCompleted:
    """Rewrite the manifest, and announce it as it is now."""
    data = msgspec.json.encode(change(msgspec.json.decode(files[f"{FOLDER}/{MANIFEST_FILE}"], type=Manifest)))
    files[f"{FOLDER}/{MANIFEST_FILE}"] = data
    return announced(event, MANIFEST_FILE, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("file", [CONTEXT_FILE, SAMPLES_FILE, MANIFEST_FILE])
async def test_a_missing_file_is_rejected(file: str) -> None:
    """Evicted or never written: it will not come back."""
    event, files = stored(context(), scalene_json(slow_signer()))
    del files[f"{FOLDER}/{file}"]
    with pytest.raises(CaptureRejected, match=f"{file} is missing"):
        await analyzer(MemoryStore(files)).handle(delivered(event))


@pytest.mark.parametrize("file", [CONTEXT_FILE, SAMPLES_FILE, MANIFEST_FILE])
async def test_a_changed_file_is_rejected(file: str) -> None:
    """One byte more, or one byte other, than was announced."""
    event, files = stored(context(), scalene_json(slow_signer()))
    longer, other = MemoryStore(files), MemoryStore(files)
    longer.files[f"{FOLDER}/{file}"] += b" "
    data = files[f"{FOLDER}/{file}"]
    other.files[f"{FOLDER}/{file}"] = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(CaptureRejected, match=rf"{file} has [\d,]+ bytes, [\d,]+ were announced"):
        await analyzer(longer).handle(delivered(event))
    with pytest.raises(CaptureRejected, match=f"{file} is not what was announced: its SHA-256 differs"):
        await analyzer(other).handle(delivered(event))


async def test_files_that_the_event_and_the_manifest_do_not_both_name_are_rejected() -> None:
    """A file has to be announced, and listed with the same size and digest."""
    event, files = stored(context(), scalene_json(slow_signer()))
    rest = tuple(artifact for artifact in event.artifacts if not artifact.name.endswith(SAMPLES_FILE))
    with pytest.raises(CaptureRejected, match="the event does not announce samples"):
        await analyzer(MemoryStore(files)).handle(delivered(msgspec.structs.replace(event, artifacts=rest)))
    unlisted = dict(files)
    told = listing(unlisted, lambda found: msgspec.structs.replace(found, files=found.files[:1]), event)
    with pytest.raises(CaptureRejected, match=r"manifest\.json does not list samples"):
        await analyzer(MemoryStore(unlisted)).handle(delivered(told))
    wrong = dict(files)
    told = listing(
        wrong,
        lambda found: msgspec.structs.replace(
            found, files=(found.files[0], msgspec.structs.replace(found.files[1], size_bytes=1))
        ),
        event,
    )
    with pytest.raises(CaptureRejected, match="1 were announced"):
        await analyzer(MemoryStore(wrong)).handle(delivered(told))
    foreign = dict(files)
    told = listing(foreign, lambda found: msgspec.structs.replace(found, session_id="profile-1-a"), event)
    with pytest.raises(CaptureRejected, match=r"manifest\.json is of session profile-1-a"):
        await analyzer(MemoryStore(foreign)).handle(delivered(told))


async def test_a_manifest_need_not_be_announced() -> None:
    """It is the commit, not a result: an agent may leave it out of its event."""
    event, files = stored(context(), scalene_json(slow_signer()))
    rest = tuple(artifact for artifact in event.artifacts if not artifact.name.endswith(MANIFEST_FILE))
    assert await analyzer(MemoryStore(files)).handle(delivered(msgspec.structs.replace(event, artifacts=rest)))


@pytest.mark.parametrize(
    ("profile", "packed", "said"),
    [
        (b"not json", None, "not Scalene 2.4 JSON"),
        (b"", b"not zstd at all", "is not zstd"),
        (b"", zstandard.compress(b"x" * 10**6)[:-9], "not"),
        (b'{"a": "' + b"x" * 3 * 10**6 + b'"}', None, "unpacks to more than 2,000,000 bytes"),
    ],
)
async def test_broken_samples_are_rejected(profile: bytes, packed: bytes | None, said: str) -> None:
    """Not Scalene's, not zstd, cut off, or a bomb: never more memory than the limit."""
    event, files = stored(context(), profile, packed=packed)
    with pytest.raises(CaptureRejected, match=said):
        await analyzer(MemoryStore(files), max_samples=2_000_000).handle(delivered(event))


def test_a_bomb_is_unpacked_only_up_to_the_limit() -> None:
    """Thirty kilobytes that would become a gigabyte."""
    bomb = zstandard.compress(bytes(2**26), 19)
    assert len(bomb) < 10_000
    with pytest.raises(CaptureRejected, match="more than 1,000 bytes"):
        unpacked(bomb, 1000, SESSION)


async def test_samples_that_are_too_large_are_not_read() -> None:
    """The compressed file has a limit too."""
    event, files = stored(context(), scalene_json(slow_signer()))
    with pytest.raises(CaptureRejected, match="larger than 10 bytes"):
        await analyzer(MemoryStore(files), max_stored=10).handle(delivered(event))


@pytest.mark.parametrize("field", ["pid", "service", "target", "instance"])
async def test_a_capture_of_something_else_is_rejected(field: str) -> None:
    """The event and the context have to speak of the same process."""
    event, files = stored(context(), scalene_json(slow_signer()))
    other = {"pid": 1, "service": "billing", "target": None, "instance": "web9-1"}[field]
    with pytest.raises(CaptureRejected, match=rf"capture\.json says {field}"):
        await analyzer(MemoryStore(files)).handle(delivered(msgspec.structs.replace(event, **{field: other})))


async def test_a_context_that_cannot_be_read_is_rejected() -> None:
    """Its digest is right and it is still no context."""
    event, files = stored(context(), scalene_json(slow_signer()))
    data = b'{"session_id": 7}'
    digest = hashlib.sha256(data).hexdigest()
    files[f"{FOLDER}/{CONTEXT_FILE}"] = data
    told = listing(
        files,
        lambda found: msgspec.structs.replace(
            found,
            files=(msgspec.structs.replace(found.files[0], size_bytes=len(data), sha256=digest), found.files[1]),
        ),
        announced(event, CONTEXT_FILE, size_bytes=len(data), sha256=digest),
    )
    with pytest.raises(CaptureRejected, match=r"capture\.json cannot be read"):
        await analyzer(MemoryStore(files)).handle(delivered(told))


async def test_a_heap_capture_is_rejected_and_not_lost() -> None:
    """What this version does not analyse is said, with the kind."""
    event, files = stored(context(kind=CaptureKind.HEAP), b"{}")
    with pytest.raises(CaptureRejected, match="kind 'heap'"):
        await analyzer(MemoryStore(files)).handle(delivered(event))


async def test_a_store_that_is_away_is_waited_for_and_not_rejected() -> None:
    """The pump tries again: no outcome is invented."""
    event, files = stored(context(), scalene_json(slow_signer()))
    store = MemoryStore(files)
    store.away = StoreUnavailable("no route")
    with pytest.raises(StoreUnavailable):
        await analyzer(store).handle(delivered(event))
    assert store.written == {}


async def test_the_real_store_serves_a_capture(tmp_path: Path) -> None:
    """The same through the directory store."""
    event, files = stored(context(), scalene_json(slow_signer()))
    real = ArtifactStore(str(tmp_path))
    for name, data in files.items():
        await real.write(name, data)
    found = CaptureFiles(real, max_stored_bytes=10**7, max_samples_bytes=10**8)
    (analysis,) = await Analyzer(found, policy=POLICY, catalogue=load_catalogue(None)).handle(delivered(event))
    assert await found.analysis(SESSION) == analysis


def test_a_catalogue_that_is_missing_is_said_with_its_remedy(tmp_path: Path) -> None:
    """One line that names the file and the setting."""
    with pytest.raises(ConfigurationError, match="TAILWATCH_CONFIG_DIR"):
        load_catalogue(tmp_path)


def test_artifacts_are_what_the_helper_says() -> None:
    """The helper that stores captures announces three files by their digests."""
    event, files = stored(context(), b"{}")
    assert [
        Artifact(name=n, size_bytes=len(d), sha256=hashlib.sha256(d).hexdigest()) for n, d in files.items()
    ] == list(event.artifacts)
