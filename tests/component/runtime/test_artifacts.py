"""The artifact store over a directory and over fsspec's memory file system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest

from tailwatch.contracts.errors import StoreUnavailable
from tailwatch.runtime.artifacts import ArtifactMissing, ArtifactStore, ArtifactTooLarge, StoredArtifact


@pytest.fixture(params=["directory", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ArtifactStore]:
    """Yield an empty store of either kind."""
    if request.param == "directory":
        yield ArtifactStore(str(tmp_path / "profiles"))
        return
    root = f"/{uuid4().hex}"
    yield ArtifactStore(f"memory:/{root}")
    memory = fsspec.filesystem("memory")
    if memory.exists(root):
        memory.rm(root, recursive=True)


async def test_what_is_written_is_read(store: ArtifactStore) -> None:
    """Bytes come back as they went, whatever folders are in the name."""
    await store.write("captures/profile-1-a/samples.json.zst", b"\x00\xff")
    assert await store.read("captures/profile-1-a/samples.json.zst", limit=2) == b"\x00\xff"
    assert await store.exists("captures/profile-1-a/samples.json.zst")


async def test_writing_again_replaces(store: ArtifactStore) -> None:
    """The same name holds the newest bytes, and nothing else is left in its folder."""
    await store.write("a/report.html", b"old, and longer")
    await store.write("a/report.html", b"new")
    assert await store.read("a/report.html", limit=100) == b"new"
    assert [artifact.name for artifact in await store.names("a")] == ["a/report.html"]


async def test_a_missing_artifact_is_said_to_be_missing(store: ArtifactStore) -> None:
    """The store answers; waiting would not help."""
    assert not await store.exists("a/b")
    with pytest.raises(ArtifactMissing, match="a/b"):
        await store.read("a/b", limit=1)


async def test_an_artifact_over_the_limit_is_not_read(store: ArtifactStore) -> None:
    """A reader decides how much it takes in."""
    await store.write("a/b", b"12345")
    with pytest.raises(ArtifactTooLarge, match="a/b is larger than 4 bytes"):
        await store.read("a/b", limit=4)


async def test_a_deleted_artifact_is_gone_and_deleting_again_is_no_error(store: ArtifactStore) -> None:
    """Deleting is idempotent."""
    await store.write("a/b", b"1")
    await store.delete("a/b")
    await store.delete("a/b")
    assert not await store.exists("a/b")


async def test_names_are_those_under_the_folder_with_their_sizes(store: ArtifactStore) -> None:
    """A listing is sorted, goes down, and holds names that can be read; an absent folder is empty."""
    await store.write("captures/s2/manifest.json", b"12")
    await store.write("captures/s1/samples", b"1")
    await store.write("reports/x", b"1")
    found = await store.names("captures/")
    assert [(artifact.name, artifact.size_bytes) for artifact in found] == [
        ("captures/s1/samples", 1),
        ("captures/s2/manifest.json", 2),
    ]
    assert await store.names("nothing") == []


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "a/../../x", "s3://b/k", "a//b", "", ".x", "a/.x", "a\n", "\ud800"]
)
@pytest.mark.parametrize("work", ["read", "write", "exists", "delete", "names"])
async def test_a_hostile_name_opens_nothing(store: ArtifactStore, work: str, name: str) -> None:
    """Names are checked by the store too, whoever built them."""
    arguments: dict[str, dict[str, Any]] = {"read": {"limit": 1}, "write": {"data": b"x"}}
    with pytest.raises(ArtifactMissing, match="is not an artifact's name"):
        await getattr(store, work)(name, **arguments.get(work, {}))


async def test_a_name_that_can_never_be_a_file_is_missing_not_unavailable(tmp_path: Path) -> None:
    """A folder, a file as a folder, or too long a name: a consumer must reject the record, not wait for ever."""
    store = ArtifactStore(str(tmp_path))
    await store.write("a/b", b"1")
    for name in ("a", "a/b/c", "x" * 300):
        with pytest.raises(ArtifactMissing):
            await store.read(name, limit=1)
    for name in ("a", "a/b/c", "x" * 300):
        with pytest.raises(ArtifactMissing):
            await store.write(name, b"1")
    assert [file for _, _, files in os.walk(tmp_path) for file in files] == ["b"]


async def test_a_long_name_that_the_file_system_takes_is_written(tmp_path: Path) -> None:
    """Writing needs no longer name than the artifact's own."""
    store = ArtifactStore(str(tmp_path))
    await store.write("x" * 255, b"1")
    assert await store.exists("x" * 255)


async def test_a_store_that_is_away_is_unavailable(tmp_path: Path) -> None:
    """An answer of the operating system that may pass is worth waiting for: the error names the store."""
    store = ArtifactStore(str(tmp_path / "profiles"))
    store._fs = Away()
    with pytest.raises(StoreUnavailable, match=r"profiles: .*Stale file handle"):
        await store.read("a/b", limit=1)


class Away:
    """A network file system whose server is away."""

    def invalidate_cache(self) -> None:
        """Forget nothing."""

    def open(self, path: str, mode: str) -> None:
        """Fail as NFS does."""
        raise OSError(116, "Stale file handle", path)


async def test_what_is_being_written_is_in_no_listing(tmp_path: Path) -> None:
    """Temporary files of a write that was killed are not artifacts."""
    store = ArtifactStore(str(tmp_path))
    await store.write("a/b", b"1")
    (tmp_path / "a" / ".0123.part").write_bytes(b"half")
    (tmp_path / "a" / ".spool").mkdir()
    (tmp_path / "a" / ".spool" / "x").write_bytes(b"half")
    assert [artifact.name for artifact in await store.names("a")] == ["a/b"]


async def test_a_listing_says_when_an_artifact_was_written(tmp_path: Path) -> None:
    """Quotas go by age: the time is the file's, in seconds since the epoch."""
    store = ArtifactStore(str(tmp_path))
    await store.write("a/b", b"1")
    written = (tmp_path / "a" / "b").stat().st_mtime
    assert await store.names("a") == [StoredArtifact("a/b", 1, written)]


async def test_a_store_says_where_it_is(tmp_path: Path) -> None:
    """A person is shown the directory and the file's path."""
    store = ArtifactStore(f"{tmp_path}/")
    assert store.location == str(tmp_path)
    assert store.path("a/b") == f"{tmp_path}/a/b"
