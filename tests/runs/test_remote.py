"""Recordings in stores elsewhere: read as they are needed, put there whole, and never believed."""

from __future__ import annotations

import gc
import shutil
import sys
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

import diffanim
from diffanim import Trajectory
from diffanim.errors import DiffanimWarning, SettingsError, TrajectoryError
from diffanim.runs.chunks import CRC_BYTES
from diffanim.runs.remote import is_remote, joined, name_of, told
from diffanim.runs.step import Mixture
from diffanim.runs.uploading import exists_whole, put_whole, read_text, write_text
from diffanim.runs.writer import TrajectoryWriter
from support.damage import declare
from support.recordings import ALL_ROWS, INFO, PICTURE, ROWS, decode, record, rows, steps, write
from support.stores import (
    CREDENTIALS,
    WatchedStore,
    object_in,
    put_as_it_is,
    replace_object,
    watched_store,
)

URL, KEY = "watched://lab/run.zarr", "/lab/run.zarr"


@pytest.fixture
def watched() -> type[WatchedStore]:
    return watched_store()


@pytest.fixture(params=["memory", "file", "s3"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty folder in a store of each kind."""
    if request.param == "s3":
        return f"{request.getfixturevalue('s3')}/lab"
    MemoryFileSystem.store.clear()
    return "memory://lab" if request.param == "memory" else (tmp_path / "lab").as_uri()


@pytest.mark.parametrize(
    ("place", "remote", "without_secrets", "name"),
    [
        ("run.zarr", False, "run.zarr", None),
        ("points:spiral", False, "points:spiral", None),
        (r"C:\runs\run.zarr", False, r"C:\runs\run.zarr", None),
        ("C://runs/run.zarr", False, "C://runs/run.zarr", None),
        ("s3://bucket/a/run.zarr/", True, "s3://bucket/a/run.zarr/", "run.zarr"),
        ("S3://bucket", True, "S3://bucket", "bucket"),
        ("sftp://me:pass/wo@rd@host:22/a/run.zarr", True, "sftp://host:22/a/run.zarr", "run.zarr"),
        ("sftp://me@host:22/a@b/run.zarr", True, "sftp://host:22/a@b/run.zarr", "run.zarr"),
        ("https://host:80/a@b.zarr?token=abc&b=%2F", True, "https://host:80/a@b.zarr", "a_b.zarr"),
        ("simplecache::s3://bucket/run.zarr", True, "simplecache::s3://bucket/run.zarr", "run.zarr"),
        ("zip://in/run.zarr::sftp://a:b@host/z.zip", True, "zip://in/run.zarr::sftp://host/z.zip", "run.zarr"),
        ("s3://bucket/..", True, "s3://bucket/..", "run.zarr"),
    ],
)
def test_what_a_url_is_and_how_it_is_told(place: str, remote: bool, without_secrets: str, name: str | None) -> None:
    assert is_remote(place) is remote
    assert told(place) == without_secrets
    if name is not None:
        assert name_of(place) == name


def test_places_in_a_folder_elsewhere() -> None:
    assert joined("s3://bucket/sweep/", "a.zarr") == "s3://bucket/sweep/a.zarr"
    assert joined("https://host/sweep?token=a", "i") == "https://host/sweep/i?token=a"
    assert joined("zip://sweep::s3://bucket/z.zip", "i") == "zip://sweep/i::s3://bucket/z.zip"


def test_a_recording_elsewhere_is_that_recording(tmp_path: Path, elsewhere: str) -> None:
    """Every bit; with its own checks, messages that name its URL, and nothing left on this machine."""
    run = record(tmp_path / "run.zarr")
    url = f"{elsewhere}/run.zarr"
    assert not exists_whole(url)
    put_whole(tmp_path / "run.zarr", url)
    assert exists_whole(url)
    there = Trajectory.open(url)
    assert there.info == run.info
    assert there.url == url
    assert repr(there) == repr(run).replace(str(run.path), url)
    for one, other in ((rows(there), rows(run)), ((there.t, there.noise), (run.t, run.noise))):
        assert all(map(np.array_equal, one, other))
    np.testing.assert_array_equal(there.image, run.image)
    assert there.decoded is not None
    np.testing.assert_array_equal(there.decoded.read("x0", 2), PICTURE + 5)
    there.verify()
    copy = there.path
    assert copy is not None
    assert copy.name == "run.zarr"
    del there
    gc.collect()
    assert not copy.parent.exists()


def test_a_recording_in_a_store_is_rendered_and_compared(tmp_path: Path, s3: str) -> None:
    """By its URL alone, beside one on this machine; and the file says only its name."""
    for name, seed in (("a", 0), ("b", 1)):
        record(tmp_path / f"{name}.zarr", seed)
        put_whole(tmp_path / f"{name}.zarr", f"{s3}/{name}.zarr")
    diffanim.compare([f"{s3}/a.zarr", tmp_path / "b.zarr"], tmp_path / "there-poster.png", size=(640, None))
    diffanim.compare([tmp_path / "a.zarr", tmp_path / "b.zarr"], tmp_path / "here-poster.png", size=(640, None))
    there, here = tmp_path / "there-poster.png", tmp_path / "here-poster.png"
    with Image.open(there) as one, Image.open(here) as other:
        assert one.tobytes() == other.tobytes()
    assert b"diffanim render a.zarr b.zarr" in there.read_bytes()
    assert s3.encode() not in there.read_bytes()
    assert "run" in diffanim.show(f"{s3}/a.zarr", size=(320, None)).page


def test_only_rows_that_are_shown_are_fetched(tmp_path: Path, watched: type[WatchedStore]) -> None:
    writer = TrajectoryWriter(tmp_path / "run.zarr", INFO)
    for step in steps(40):
        writer.add(step)
    writer.finish(np.ones((2, 3, 4, 4), np.float32), None, Mixture(1.0, 0.0))
    put_as_it_is(tmp_path / "run.zarr", KEY)
    run = Trajectory.open(URL)
    few = watched.bytes_fetched
    assert not any("/x/c." in key or "/x0/c." in key for key in watched.fetched)
    assert few < 16_000
    watched.fetched.clear()
    diffanim.render(run, tmp_path / "a.gif", panels="x0", every=10, size=(240, None), last=31)
    assert {key.removeprefix(f"{KEY}/") for key in watched.fetched} == {
        f"x0/c.{row}.0.0.0.0" for row in (0, 10, 20, 30)
    }
    assert watched.bytes_fetched - few == 4 * (2 * 3 * 4 * 4 * 4 + CRC_BYTES)
    diffanim.render(run, tmp_path / "b.gif", panels="x0", every=10, size=(240, None), last=31)
    assert len(watched.fetched) == 4


def test_what_an_interruption_leaves_is_cleared_away(tmp_path: Path, watched: type[WatchedStore]) -> None:
    """By the next attempt, which may put another recording there; before, readers are told what it looks like."""
    record(tmp_path / "run.zarr")
    record(tmp_path / "other.zarr", 1, decoded=False)
    watched.failing_at = 20
    with pytest.raises(TrajectoryError, match=f"cannot write {URL}: the line went dead"):
        put_whole(tmp_path / "run.zarr", URL)
    assert any("decoded" in key for key in watched.store)
    assert not exists_whole(URL)
    with pytest.raises(TrajectoryError, match=r"it has no zarr\.json, which comes last; perhaps it is still being"):
        Trajectory.open(URL)
    watched.failing_at = None
    put_whole(tmp_path / "other.zarr", URL)
    Trajectory.open(URL).verify()
    assert not any("decoded" in key for key in watched.store)


def test_bytes_that_a_store_loses_are_noticed(
    tmp_path: Path, watched: type[WatchedStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "run.zarr")
    put_file = MemoryFileSystem.put_file

    def put_half(self: Any, lpath: str, rpath: str, **options: Any) -> None:
        put_file(self, lpath, rpath, **options)
        if rpath.endswith("x/c.1.0.0.0.0"):
            replace_object(rpath, Path(lpath).read_bytes()[:-9])

    monkeypatch.setattr(MemoryFileSystem, "put_file", put_half)
    with pytest.raises(TrajectoryError, match=r"lab/run.zarr has 379 bytes of x/c\.1\.0\.0\.0\.0, not 388"):
        put_whole(tmp_path / "run.zarr", URL)
    assert f"{KEY}/zarr.json" not in watched.store


def test_what_is_there_is_replaced_only_on_request(tmp_path: Path, elsewhere: str) -> None:
    url = f"{elsewhere}/run.zarr"
    record(tmp_path / "old.zarr")
    new = record(tmp_path / "new.zarr", 1, decoded=False)
    put_whole(tmp_path / "old.zarr", url)
    with pytest.raises(TrajectoryError, match="exists already; name another place, or overwrite it"):
        put_whole(tmp_path / "new.zarr", url)
    read_before = Trajectory.open(url)
    put_whole(tmp_path / "new.zarr", url, overwrite=True)
    np.testing.assert_array_equal(rows(Trajectory.open(url))[0], rows(new)[0])
    Trajectory.open(url).verify()
    with pytest.raises(TrajectoryError, match=r"x\[1\] of .*lab/run.zarr is damaged: it is not what was recorded"):
        _ = read_before.x[1]


def test_what_diffanim_did_not_write_is_not_replaced(tmp_path: Path, watched: type[WatchedStore]) -> None:
    write(tmp_path / "run.zarr")
    replace_object(f"{KEY}/zarr.json", b'{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    with pytest.raises(TrajectoryError, match="is not a recording that diffanim wrote, so it is not overwritten"):
        put_whole(tmp_path / "run.zarr", URL, overwrite=True)
    watched.store.clear()
    replace_object(f"{KEY}/notes.txt", b"mine")
    put_whole(tmp_path / "run.zarr", URL)
    assert object_in(watched, f"{KEY}/notes.txt") == b"mine"
    with pytest.raises(TrajectoryError, match=r"run.zarr/notes.txt is a file; name another place"):
        put_whole(tmp_path / "run.zarr", f"{URL}/notes.txt")


def test_only_complete_recordings_are_put(tmp_path: Path, watched: type[WatchedStore]) -> None:
    write(tmp_path / "run.zarr", 2, 5, finish=False)
    with pytest.raises(TrajectoryError, match="is not complete, so it is not put into a store; resume it first"):
        put_whole(tmp_path / "run.zarr", URL)
    assert not watched.store
    put_as_it_is(tmp_path / "run.zarr", KEY)
    assert not exists_whole(URL)
    assert Trajectory.open(URL).steps == 2


@pytest.mark.parametrize(
    ("size", "words"), [(100, "damaged: it is not a file of 388 bytes"), (10**9, "damaged"), (None, "missing")]
)
def test_a_file_of_another_size_is_refused(
    tmp_path: Path, watched: type[WatchedStore], size: int | None, words: str
) -> None:
    write(tmp_path / "run.zarr")
    put_as_it_is(tmp_path / "run.zarr", KEY)
    key = f"{KEY}/x/c.1.0.0.0.0"
    if size is None:
        del watched.store[key]
    else:
        watched.listed_too[key] = {"name": key, "size": size, "type": "file"}
    run = Trajectory.open(URL)
    with pytest.raises(TrajectoryError, match=rf"x\[1\] of {URL} is {words}.*; copy the recording there again"):
        run.verify()
    assert size == 100 or key not in watched.fetched


def test_decoded_pictures_are_not_believed_either(tmp_path: Path, watched: type[WatchedStore]) -> None:
    """One that is too large is not fetched; it is decoded again on this machine, and nothing is put into the store."""
    record(tmp_path / "run.zarr")
    put_as_it_is(tmp_path / "run.zarr", KEY)
    key = f"{KEY}/decoded/x/c/1/0/0/0/0"
    watched.listed_too[key] = {"name": key, "size": 10**9, "type": "file"}
    replace_object(f"{KEY}/decoded/x0/c/2/0/0/0/0", object_in(watched, f"{KEY}/decoded/x0/c/1/0/0/0/0"))
    before = dict(watched.store)
    run = Trajectory.open(URL)
    assert run.decoded_damage({"x": (1,)}) == f"decoded/x[1] of {URL} is damaged: its file is too large"
    with pytest.warns(DiffanimWarning, match=f"of {URL} is .*; rows that are decoded again: 2"):
        assert decode(run) == [1, 2]
    assert key not in watched.fetched
    assert run.decoded is not None
    np.testing.assert_array_equal(run.decoded.read("x", 1), PICTURE + 2)
    np.testing.assert_array_equal(run.decoded.read("x0", 3), PICTURE + 7)
    run.verify()
    assert watched.store == before


def test_latents_are_decoded_on_this_machine(tmp_path: Path, watched: type[WatchedStore]) -> None:
    record(tmp_path / "run.zarr", decoded=False)
    put_as_it_is(tmp_path / "run.zarr", KEY)
    run = Trajectory.open(URL)
    assert decode(run) == list(range(ROWS + 1))
    assert decode(run) == []
    assert run.decoded is not None
    assert run.decoded.has(ALL_ROWS)
    assert not any("decoded" in key for key in watched.store)


def test_a_store_that_changes_is_noticed(tmp_path: Path, watched: type[WatchedStore]) -> None:
    write(tmp_path / "run.zarr")
    put_as_it_is(tmp_path / "run.zarr", KEY)
    run = Trajectory.open(URL)
    replace_object(f"{KEY}/x/c.1.0.0.0.0", b"short")
    with pytest.raises(TrajectoryError, match=r"x/c\.1\.0\.0\.0\.0 of .* has changed since the recording was opened"):
        _ = run.x[1]
    del watched.store[f"{KEY}/x/c.2.0.0.0.0"]
    with pytest.raises(TrajectoryError, match="has changed since it was opened: a file is gone; open it again"):
        _ = run.x[2]
    watched.error = ConnectionResetError("reset by peer")
    with pytest.raises(TrajectoryError, match=f"cannot read {URL}: reset by peer; check the URL and the network"):
        _ = run.x[3]
    watched.error = None
    assert run.x[3].shape == (2, 3, 4, 4)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        f"{KEY}/../../../tmp/escaped",
        f"{KEY}/x/../../escaped",
        f"{KEY}/x//c.0",
        f"{KEY}/./zarr.json",
        f"{KEY}/x\\..\\..\\escaped",
        f"{KEY}/C:escaped",
        f"{KEY}/a\nb",
        f"{KEY}/{'a/' * 20}b",
        f"{KEY}/{'a' * 300}",
    ],
)
def test_names_that_lead_out_of_the_copy_are_refused(tmp_path: Path, watched: type[WatchedStore], name: str) -> None:
    write(tmp_path / "run.zarr")
    put_as_it_is(tmp_path / "run.zarr", KEY)
    watched.listed_too[name] = {"name": name, "size": 3, "type": "file"}
    with pytest.raises(TrajectoryError, match=r"is damaged: it lists '.*', which no recording has") as refused:
        Trajectory.open(URL)
    assert "\n" not in str(refused.value)
    assert not watched.fetched


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"x": 3}, "it has a file and a folder of the same name"),
        ({"x/digests": 10**12}, "it says more of itself than any recording does"),
        ({f"t/c.{number}": 1 for number in range(1, 30_000)}, "it says more of itself than any recording does"),
        ({"x/c.0.0.0.0.0": None}, "its store does not tell the sizes of files; copy it to this machine"),
    ],
)
def test_listings_that_no_recording_has(
    tmp_path: Path, watched: type[WatchedStore], entries: dict[str, int | None], words: str
) -> None:
    write(tmp_path / "run.zarr")
    put_as_it_is(tmp_path / "run.zarr", KEY)
    for name, size in entries.items():
        watched.listed_too[f"{KEY}/{name}"] = {"name": f"{KEY}/{name}", "size": size, "type": "file"}
    with pytest.raises(TrajectoryError, match=words):
        Trajectory.open(URL)
    assert not watched.fetched


def test_pictures_larger_than_their_run_are_not_fetched(tmp_path: Path, watched: type[WatchedStore]) -> None:
    record(tmp_path / "run.zarr")
    declare(tmp_path / "run.zarr", "decoded/x", [2, 100_000, 100_000, 3])
    put_as_it_is(tmp_path / "run.zarr", KEY)
    assert Trajectory.open(URL).decoded is None
    assert not any("decoded/x/c" in key for key in watched.fetched)


def test_what_others_leave_beside_it_does_not_matter(tmp_path: Path, watched: type[WatchedStore]) -> None:
    """Hidden files, and the objects that some tools make to stand for folders."""
    write(tmp_path / "run.zarr")
    put_as_it_is(tmp_path / "run.zarr", KEY)
    for name in (f"{KEY}/", f"{KEY}/x/", f"{KEY}/.decoded-new/zarr.json", f"{KEY}/x/.c.partial", f"{KEY}/.DS_Store"):
        watched.listed_too[name] = {"name": name, "size": 0 if name.endswith("/") else 5, "type": "file"}
    watched.listed_too[f"{KEY}/folder"] = {"name": f"{KEY}/folder", "size": 0, "type": "directory"}
    Trajectory.open(URL).verify()


def test_secrets_are_not_told(tmp_path: Path, watched: type[WatchedStore]) -> None:
    write(tmp_path / "run.zarr")
    secret = "watched://me:hunter2@lab/run.zarr?signature=abcdef123"
    put_as_it_is(tmp_path / "run.zarr", KEY)
    run = Trajectory.open(secret)
    told_of = [repr(run), str(run.url), str(run.path)]
    cut = "." * 214  # Messages are cut off, but never within what is left out of them.
    watched.error = ConnectionError(f"no answer from {secret} {cut} (password hunter2, signature abcdef123)")
    for call in (
        lambda: run.x[1],
        lambda: Trajectory.open(secret),
        lambda: read_text(secret),
        lambda: exists_whole(secret),
    ):
        with pytest.raises(TrajectoryError) as refused:
            call()
        assert refused.value.__cause__ is None
        told_of.append(str(refused.value))
    assert not any(part in words for words in told_of for part in ("hunt", "abcd"))
    assert told_of[3].startswith("cannot read watched://lab/run.zarr: no answer from watched://lab/run.zarr")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://no-such-bucket/run.zarr", "it is not there .*; check the URL"),
        ("{s3}/no.zarr", "there is no recording at s3://bucket-.*/no.zarr"),
        ("{s3}/run.zarr/zarr.json", r"zarr.json is a file; a recording is a folder"),
        ("gs://bucket/run.zarr", "gs:// needs the package gcsfs: pip install gcsfs"),
        ("nowhere://run.zarr", "Protocol not known: nowhere; use a scheme that fsspec knows"),
    ],
)
def test_what_stores_refuse_is_a_line(
    tmp_path: Path, s3: str, url: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "run.zarr")
    put_whole(tmp_path / "run.zarr", f"{s3}/run.zarr")
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(TrajectoryError, match=words) as refused:
        Trajectory.open(url.format(s3=s3))
    assert "\n" not in str(refused.value)


def test_a_bucket_that_is_missing_is_not_made(tmp_path: Path, s3: str) -> None:
    write(tmp_path / "run.zarr")
    with pytest.raises(TrajectoryError, match=r"cannot write s3://no-such-bucket/run\.zarr: it is not there"):
        put_whole(tmp_path / "run.zarr", "s3://no-such-bucket/run.zarr")
    with pytest.raises(TrajectoryError, match=r"cannot write s3://no-such-bucket/index\.jsonl: it is not there"):
        write_text("s3://no-such-bucket/index.jsonl", "")
    with pytest.raises(TrajectoryError, match="it is not there"):
        Trajectory.open("s3://no-such-bucket/run.zarr")
    assert s3.startswith("s3://bucket-")


def test_without_credentials(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(TrajectoryError, match="credentials; check the URL, and your credentials for this store"):
        Trajectory.open(f"{s3}/run.zarr")
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_texts_are_whole(elsewhere: str, tmp_path: Path) -> None:
    url = f"{elsewhere}/sweep/index.jsonl"
    assert read_text(url) is None
    for text in ("eins\n", "", "zwei: ½\n"):
        write_text(url, text)
        assert read_text(url) == text
    if (tmp_path / "lab").exists():
        assert [path.name for path in (tmp_path / "lab" / "sweep").iterdir()] == ["index.jsonl"]


def test_a_text_that_cannot_be_written_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = (tmp_path / "index.jsonl").as_uri()
    write_text(url, "before")
    monkeypatch.setattr(shutil, "move", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(TrajectoryError, match="No space left on device"):
        write_text(url, "after")
    assert read_text(url) == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["index.jsonl"]


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(TrajectoryError, match=r"index\.jsonl is not a text in UTF-8"):
        read_text((tmp_path / "index.jsonl").as_uri())


def test_a_path_that_was_a_url(tmp_path: Path) -> None:
    with pytest.raises(TrajectoryError, match="give a URL as text, since a Path drops one of its slashes"):
        Trajectory.open(Path("s3://bucket/run.zarr"))
    with pytest.raises(TrajectoryError, match="looks like a URL, and runs are recorded on this machine"):
        TrajectoryWriter(Path("s3://bucket/run.zarr"), INFO).add(steps(1)[0])
    for place in (str(tmp_path), "simplecache::s3://bucket/run.zarr"):
        with pytest.raises(SettingsError, match="cannot be written to; give a plain URL"):
            write_text(place, "")
