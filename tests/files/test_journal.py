"""The journal of a run: private, small, swept, and read back as it was written."""

from __future__ import annotations

import json
import os
import stat
import time
import zlib
from pathlib import Path

import pytest

from xf2sdpa.files import journal
from xf2sdpa.files.journal import Change, JournalError


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "xf2sdpa" / "undo"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def kept(root: Path, **texts: str) -> Path:
    file = journal.begin(root, [Change(root / name, None, text.encode()) for name, text in texts.items()])
    assert file is not None
    return file


def test_what_is_written_is_read_back(root: Path) -> None:
    (root / "link").symlink_to("a\udcff\n.py")
    changes = [
        Change(root / "a\udcff\n.py", b"\x00\xff" * 999, b"new", ()),
        Change(root / "link", b"of the link's target", b"n"),
        Change(root / "gone", b"was here", None),
        Change(root / "helper.py", None, b"", (root / "user.py",)),
    ]
    journal.finish(journal.begin(root, changes))
    (record,) = journal.runs(root)
    assert record.root == root
    assert abs(record.began - time.time()) < 60
    assert [change.old for change in record.changes] == [change.old for change in changes]
    assert [change.path.name for change in record.changes] == ["a\udcff\n.py", "a\udcff\n.py", "gone", "helper.py"]
    assert [change.new_digest is None for change in record.changes] == [False, False, True, False]
    assert record.changes[3].needed_by == (root / "user.py",)
    assert not record.broken_off


def test_what_a_file_holds_now(root: Path) -> None:
    journal.begin(root, [Change(root / "f", b"old", b"new"), Change(root / "g", None, b"new")])
    (record,) = journal.runs(root)
    for data, state in ((b"old", "old"), (b"new", "new"), (b"newer", "else"), (b"", "else")):
        (root / "f").write_bytes(data)
        assert record.changes[0].state() == state
    (root / "f").unlink()
    assert record.changes[0].state() == "else"
    assert record.changes[1].state() == "old"
    (root / "other").write_bytes(b"new")
    (root / "g").symlink_to("other")
    assert record.changes[1].state() == "else", "what a link leads to is not what was written"


def test_a_run_that_is_not_done_is_broken_off_until_somebody_said_so(root: Path, tmp_path: Path) -> None:
    file = kept(root, a="1")
    assert [record.file for record in journal.broken_off(root)] == [file]
    assert journal.broken_off(tmp_path) == []
    journal.finish(file)
    assert journal.broken_off(root) == []
    assert len(journal.runs(root)) == 1


@pytest.mark.skipif(os.name == "nt", reason="other rights")
def test_nobody_else_may_read_it(root: Path, state: Path) -> None:
    journal.finish(kept(root, a="1"))
    files = [path for path in state.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    assert {stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()} == {0o700}


def test_it_is_small(root: Path, state: Path) -> None:
    text = Path(journal.__file__).read_bytes()
    journal.finish(journal.begin(root, [Change(root / f"{n}.py", text, text + b"\n") for n in range(10)]))
    (file,) = state.glob("*/*.journal")
    assert file.stat().st_size < 10 * len(text) / 2


def test_old_journals_and_too_many_are_swept(root: Path, state: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    journal.finish(kept(tmp_path / "other", a="1"))
    (other,) = state.glob("*/*.journal")
    for number in range(25):
        journal.finish(kept(root, a=str(number)))
    assert len(journal.runs(root)) == 20
    assert journal.runs(root)[-1].changes[0].new_digest == journal.digest(b"24"), "the latest stay"
    assert len(journal.runs(tmp_path / "other")) == 1
    month = time.time() - 31 * 24 * 3600
    os.utime(other, (month, month))
    os.utime(kept(root, a="killed"), (month, month))
    journal.finish(kept(root, a="x"))
    assert journal.runs(tmp_path / "other") == []
    assert not other.parent.exists()
    assert journal.broken_off(root) == []


def test_the_same_project_under_another_name_is_the_same(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    journal.finish(kept(tmp_path / "alias", a="1"))
    assert len(journal.runs(root)) == 1
    assert journal.roots() == [root]


def test_where_no_journal_can_be_kept(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(JournalError, match="file"):
        kept(root, a="1")
    assert journal.runs(root) == []


@pytest.mark.skipif(os.name == "nt", reason="other names")
def test_a_relative_place_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert journal.home() == tmp_path / ".local/state/xf2sdpa/undo"


def test_a_folder_that_is_a_link_is_refused(root: Path, state: Path, tmp_path: Path) -> None:
    journal.finish(kept(root, a="1"))
    (state / "begun").rmdir()
    (tmp_path / "trap").mkdir()
    (state / "begun").symlink_to(tmp_path / "trap")
    with pytest.raises(JournalError, match="not your own"):
        kept(root, a="2")
    assert list((tmp_path / "trap").iterdir()) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2}', '{"version": 1, "root": 3}', "[" * 100_000])
def test_what_is_no_journal_is_none(root: Path, state: Path, text: str) -> None:
    file = kept(root, a="1")
    assert json.loads(zlib.decompress(file.read_bytes()))["version"] == 1
    file.write_bytes(zlib.compress(text.encode()) if text else b"torn")
    assert journal.runs(root) == []
    assert journal.roots() == []
