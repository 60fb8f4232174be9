"""The rounds of the search, in one process and in several."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from tests.files.trees import make
from xf2sdpa.files import search
from xf2sdpa.files.listing import list_files
from xf2sdpa.files.search import Searcher
from xf2sdpa.helper.text import PACKAGE_NAME


def test_first_needles_in_any_case_anywhere(tmp_path: Path) -> None:
    make(tmp_path, "none.py", "near.py", text="x formers, mlsk\n")
    make(tmp_path, "a.py", text="import xformers.ops\n")
    make(tmp_path, "b.py", text="if XFORMERS_AVAILABLE: pass\n")
    make(tmp_path, "c.py", text="enable_xFormers_now()\n")
    make(tmp_path, "d.py", text="from mslk.attention import fmha\n")
    searcher = Searcher(list_files([tmp_path]))
    assert [file.name for file in searcher.first()] == ["a.py", "b.py", "c.py", "d.py"]
    assert searcher.first() == []
    assert searcher.unreadable == []


def test_later_rounds_find_whole_words_in_files_not_yet_found(tmp_path: Path) -> None:
    make(tmp_path, "a.py", text="import xformers\nFLAG = True\n")
    make(tmp_path, "b.py", text="from a import FLAG\n")
    make(tmp_path, "c.py", text="FLAGS = MY_FLAG = flag = 0\n")
    make(tmp_path, "d.py", text="x=(FLAG)")
    make(tmp_path, "e.py", text="from d import other\n")
    make(tmp_path, "f.py", text="FLAGא = éFLAG")
    searcher = Searcher(list_files([tmp_path]))
    rounds = [searcher.first(), searcher.matching([b"FLAG"]), searcher.matching({b"FLAG", b"other"})]
    assert [[file.name for file in found] for found in rounds] == [["a.py"], ["b.py", "d.py"], ["e.py"]]


def test_files_are_not_read_without_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.py", text="import xformers\n")
    make(tmp_path, "b.py", text="word\n")
    reads: list[str] = []
    opened = os.open

    def spy(file: str, flags: int) -> int:
        reads.append(Path(file).name)
        return opened(file, flags)

    monkeypatch.setattr(os, "open", spy)
    searcher = Searcher(list_files([tmp_path]))
    searcher.first()
    searcher.matching([b"none"])
    searcher.matching([b"none"])
    searcher.matching([])
    together, apart = ["a.py", "b.py"], ["a.py", "b.py"]
    assert reads == [*together, *apart, "b.py"]


def test_names_that_only_the_folded_search_takes_for_needles_are_no_hits(tmp_path: Path) -> None:
    make(tmp_path, "a.py", text="msor, comfort, xslr, MFOR, Wav2Vec2ForX, 2sdp\n")
    make(tmp_path, "b.py", text="xFORmers\n")
    assert [file.name for file in Searcher(list_files([tmp_path])).first()] == ["b.py"]


def test_every_first_needle_is_seen_by_the_folded_search() -> None:
    assert all(search._FOLDED_NEEDLE in needle.translate(search._FOLDED) for needle in search.FIRST_NEEDLES)
    assert search._FOLDED_NEEDLE in PACKAGE_NAME.encode().translate(search._FOLDED), "at no cost of its own"


def test_files_of_any_size_and_number_are_searched(tmp_path: Path) -> None:
    """Sizes around the borders of what is searched at once, a needle at the end of some; one that starts the next."""
    sizes = [0, 1, search._BATCH - 1, search._BATCH, search._BATCH + 1, 4 * search._BATCH - 1, 4 * search._BATCH]
    for number, size in enumerate(sizes * 2):
        needle = b"XFORMERS" if number % 3 == 0 else b""
        (tmp_path / f"{number:02}.py").write_bytes(b"#" * size + needle)
    (tmp_path / "98.py").write_bytes(b"xform")
    (tmp_path / "99.py").write_bytes(b"ers")
    found = Searcher(list_files([tmp_path])).first()
    assert [file.name for file in found] == [f"{number:02}.py" for number in range(0, 14, 3)]


def test_a_system_without_readv_searches_file_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.py", text="import xformers\n")
    make(tmp_path, "b.py", text="word\n")
    monkeypatch.delattr(os, "readv")
    assert [file.name for file in Searcher(list_files([tmp_path])).first()] == ["a.py"]


def test_many_words(tmp_path: Path) -> None:
    make(tmp_path, "a.py", text="w7 = 1\n")
    make(tmp_path, "b.py", text="w77x = 1\n")
    words = [b"w%d" % number for number in range(100)]
    assert [file.name for file in Searcher(list_files([tmp_path])).matching(words)] == ["a.py"]


@pytest.mark.parametrize("word", [b"a.b", b"", b"a b", b"-"])
def test_a_needle_of_later_rounds_must_be_one_word(word: bytes) -> None:
    with pytest.raises(ValueError, match="single word"):
        Searcher([]).matching([word])


def test_unreadable_files_are_told_once_and_the_rest_is_done(tmp_path: Path) -> None:
    make(tmp_path, "a.py", "c.py", text="import xformers\n")
    gone = tmp_path / "b.py"
    searcher = Searcher([tmp_path / "a.py", gone, tmp_path / "c.py"])
    assert [file.name for file in searcher.first()] == ["a.py", "c.py"]
    assert searcher.unreadable == [(gone, "No such file or directory")]
    make(tmp_path, "b.py", text="word")
    assert searcher.matching([b"word"]) == []
    assert len(searcher.unreadable) == 1


def test_a_folder_that_cannot_be_opened_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.py", "locked/b.py")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if "locked" in path:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    searcher = Searcher(list_files([tmp_path]))
    assert searcher.first() == []
    assert [file for file, _ in searcher.unreadable] == [tmp_path / "locked"]


def test_large_files_are_read_to_their_end(tmp_path: Path) -> None:
    make(tmp_path, "a.py", text="#" * 2 * search._CHUNK + "\nimport xformers\n")
    make(tmp_path, "exact.py", text="#" * (search._CHUNK - 4) + "mslk")
    make(tmp_path, "across.py", text="#" * (search._CHUNK - 2) + "mslk")
    make(tmp_path, "empty.py", text="")
    assert len(Searcher(list_files([tmp_path])).first()) == 3


@pytest.fixture
def many(tmp_path: Path) -> list[str]:
    """More files than one process is given; every tenth matches."""
    count = 2 * search._SMALLEST_SHARE + 10
    for number in range(count):
        text = "import xformers\n" if number % 10 == 0 else "pass\n"
        (tmp_path / f"{number:04}.py").write_text(text)
    return list_files([tmp_path])


def expected(files: list[str]) -> list[Path]:
    return [Path(file) for file in files if int(Path(file).stem) % 10 == 0]


@pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")
def test_the_work_is_shared_out(many: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 4})
    forks: list[int] = []
    fork = os.fork

    def spy() -> int:
        forks.append(fork())
        return forks[-1]

    monkeypatch.setattr(os, "fork", spy)
    Path(many[3]).unlink()
    Path(many[4]).unlink()
    searcher = Searcher(many)
    assert searcher.first() == expected(many)
    assert [file for file, _ in searcher.unreadable] == [Path(many[3]), Path(many[4])]
    assert len(forks) == 1  # two shares, as each is to be worth a process
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # nobody is left behind


@pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")
def test_a_share_whose_process_dies_is_done_again(many: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    parent, sift = os.getpid(), search._sift

    def die_in_child(files: list[str], hit: search.Hit) -> search.Sifted:
        if os.getpid() != parent:
            os.kill(os.getpid(), 9)
        return sift(files, hit)

    monkeypatch.setattr(search, "_sift", die_in_child)
    assert Searcher(many).first() == expected(many)


def test_no_fork_beside_threads_or_on_one_processor(many: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise AssertionError("forked")

    monkeypatch.setattr(os, "fork", refuse)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert Searcher(many).first() == expected(many)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert Searcher(many).first() == expected(many)
    finally:
        stop.set()
        thread.join()
