"""discover: what is listed, by git and by a walk; patterns; the rounds of the search."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from xf2sdpa.files import git as git_module
from xf2sdpa.files import listing, search
from xf2sdpa.files.errors import DiscoverError
from xf2sdpa.files.listing import list_files
from xf2sdpa.files.search import Searcher


def make(root: Path, *names: str, text: str = "x = 1\n") -> None:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def git(root: Path, *arguments: str) -> None:
    subprocess.run(
        [
            "git",
            "-C",
            str(root),
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "-c",
            "commit.gpgsign=false",
            *arguments,
        ],
        check=True,
        capture_output=True,
    )


def below(root: Path, **options: object) -> list[str]:
    """The files of the folder, as seen from it."""
    return [os.path.relpath(file, root) for file in list_files([root], **options)]  # type: ignore[arg-type]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q")
    return root


@pytest.fixture
def no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test if a program is started."""

    def refuse(*_: object) -> None:
        raise AssertionError("git was started")

    monkeypatch.setattr(git_module, "_output", refuse)


# Without git


def test_walk_takes_python_files_sorted_and_skips_well_known_folders(tmp_path: Path, no_git: None) -> None:
    make(tmp_path, "b.py", "a/c.pyi", "a/readme.md", "a-b/d.py", "x.pyc")
    make(tmp_path, *(f"deep/{folder}/e.py" for folder in listing.SKIPPED_FOLDERS))
    assert below(tmp_path) == sorted(["a-b/d.py", "a/c.pyi", "b.py"])


def test_a_skipped_folder_is_walked_when_it_is_named(tmp_path: Path, no_git: None) -> None:
    make(tmp_path, "venv/a.py", "venv/build/b.py")
    assert below(tmp_path / "venv") == ["a.py"]


def test_named_files_are_taken_whatever_they_are(tmp_path: Path) -> None:
    make(tmp_path, "notes.txt", "venv/a.py")
    named = [tmp_path / "notes.txt", tmp_path / "venv/a.py"]
    assert list_files(named, exclude=["*.txt", "venv/"]) == [str(file) for file in named]


def test_a_file_is_listed_once_however_often_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "src/a.py", "src/b.py")
    (tmp_path / "again").symlink_to("src")
    monkeypatch.chdir(tmp_path)
    assert list_files(["src", "src/a.py", "./src", tmp_path / "src", "again"]) == ["src/a.py", "src/b.py"]


def test_paths_are_spelled_from_the_path_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "src/a.py")
    monkeypatch.chdir(tmp_path)
    assert list_files(["."]) == ["src/a.py"]
    assert list_files(["src/"]) == ["src/a.py"]
    assert list_files(["src/../src"]) == ["src/../src/a.py"]
    assert list_files([tmp_path]) == [f"{tmp_path}/src/a.py"]


def test_missing_path(tmp_path: Path) -> None:
    with pytest.raises(DiscoverError, match="does not exist") as caught:
        list_files([tmp_path, tmp_path / "nowhere"])
    assert caught.value.path == str(tmp_path / "nowhere")
    assert str(pickle.loads(pickle.dumps(caught.value))) == f"{tmp_path}/nowhere: does not exist"


def test_neither_file_nor_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(DiscoverError, match="neither file nor folder"):
        list_files([tmp_path / "pipe.py"])
    assert below(tmp_path) == []


# Links


@pytest.mark.parametrize("with_git", [False, True])
def test_links(tmp_path: Path, with_git: bool) -> None:
    root = tmp_path / "root"
    make(root, "z/real.py")
    make(tmp_path, "outside.py", "elsewhere/far.py")
    (root / "a_link_to_real.py").symlink_to("z/real.py")
    (root / "b_link_out.py").symlink_to("../outside.py")
    (root / "c_link_out.py").symlink_to("../outside.py")
    (root / "broken.py").symlink_to("nothing.py")
    (root / "ring.py").symlink_to("ring.py")
    (root / "folder.py").symlink_to("../elsewhere")
    (root / "z" / "up").symlink_to("..")
    if with_git:
        git(root, "init", "-q")
        git(root, "add", "-A")
    assert below(root) == ["b_link_out.py", "z/real.py"]


def test_a_link_to_a_folder_is_followed_when_named(tmp_path: Path) -> None:
    make(tmp_path, "real/a.py")
    (tmp_path / "link").symlink_to("real")
    assert list_files([tmp_path / "link"]) == [f"{tmp_path}/link/a.py"]


def test_hard_links_are_two_files(tmp_path: Path) -> None:
    make(tmp_path, "a.py")
    os.link(tmp_path / "a.py", tmp_path / "b.py")
    assert below(tmp_path) == ["a.py", "b.py"]


# With git


def test_git_lists_tracked_and_new_files_but_not_ignored_or_deleted_ones(repository: Path) -> None:
    (repository / ".gitignore").write_text("generated/\n*_local.py\n")
    make(repository, "tracked.py", "gone.py", "forced_local.py", "build/tracked.py")
    git(repository, "add", "-f", ".")
    (repository / "gone.py").unlink()
    make(repository, "new.py", "my_local.py", "generated/a.py", "sub/new.pyi")
    assert below(repository) == ["build/tracked.py", "forced_local.py", "new.py", "sub/new.pyi", "tracked.py"]


def test_git_is_asked_from_a_folder_below_its_top(repository: Path) -> None:
    (repository / ".gitignore").write_text("*_local.py\n")
    make(repository, "top.py", "src/a.py", "src/a_local.py")
    assert below(repository / "src") == ["a.py"]


def test_one_git_process_at_the_top_of_a_work_tree(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(repository, "a.py", "src/b.py")
    commands: list[str] = []
    output = git_module._output

    def spy(command: list[str], environment: dict[str, str]) -> bytes | None:
        commands.append(next(word for word in command if word in {"ls-files", "check-ignore"}))
        return output(command, environment)

    monkeypatch.setattr(git_module, "_output", spy)
    below(repository)
    assert commands == ["ls-files"]
    below(repository / "src")
    assert commands == ["ls-files", "check-ignore", "ls-files"]


def test_an_ignored_folder_is_walked_when_named(repository: Path) -> None:
    (repository / ".gitignore").write_text("generated/\n")
    make(repository, "generated/forced.py", "generated/deep/a.py", "generated/deep/venv/b.py")
    git(repository, "add", "-f", "generated/forced.py")
    assert below(repository) == ["generated/forced.py"]
    assert below(repository / "generated") == ["deep/a.py", "forced.py"]
    assert below(repository / "generated" / "deep") == ["a.py"]
    assert list_files([repository / "generated/deep/venv/b.py"]) != []


def test_submodules_and_inner_repositories_are_not_entered(repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make(other, "theirs.py")
    git(other, "init", "-q")
    git(other, "add", ".")
    git(other, "commit", "-q", "-m", "x")
    make(repository, "ours.py")
    git(repository, "-c", "protocol.file.allow=always", "submodule", "add", str(other), "module.py")
    git(repository, "clone", "-q", str(other), "inner")
    assert below(repository) == ["ours.py"]
    assert below(repository / "module.py") == ["theirs.py"]


def test_an_unmerged_file_is_listed_once(repository: Path) -> None:
    make(repository, "a.py", text="one\n")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "one")
    git(repository, "checkout", "-q", "-b", "side")
    make(repository, "a.py", text="two\n")
    git(repository, "commit", "-q", "-am", "two")
    git(repository, "checkout", "-q", "-")
    make(repository, "a.py", text="three\n")
    git(repository, "commit", "-q", "-am", "three")
    with pytest.raises(subprocess.CalledProcessError):
        git(repository, "merge", "side")
    assert below(repository) == ["a.py"]


def test_a_work_tree_of_its_own_folder(repository: Path, tmp_path: Path) -> None:
    (repository / ".gitignore").write_text("ignored.py\n")
    make(repository, "a.py")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "x")
    git(repository, "worktree", "add", "-q", str(tmp_path / "tree"))
    make(tmp_path / "tree", "ignored.py")
    assert below(tmp_path / "tree") == ["a.py"]


def test_a_surrounding_git_command_does_not_mislead(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    make(other, "theirs.py")
    git(other, "init", "-q")
    (repository / ".gitignore").write_text("ignored.py\n")
    make(repository, "ours.py", "ignored.py")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert below(repository) == ["ours.py"]


def test_a_repository_cannot_make_us_run_its_programs(repository: Path, tmp_path: Path) -> None:
    spy = tmp_path / "spy"
    spy.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    spy.chmod(0o755)
    make(repository, "a.py")
    git(repository, "add", ".")
    git(repository, "config", "core.fsmonitor", str(spy))
    git(repository, "ls-files", "--others")
    if not (tmp_path / "ran").exists():
        git(repository, "status")
    assert (tmp_path / "ran").exists(), "the spy must work, or this test shows nothing"
    (tmp_path / "ran").unlink()
    assert below(repository) == ["a.py"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("broken", ["absent", "failing"])
def test_without_a_working_git_the_folder_is_walked(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    (repository / ".gitignore").write_text("ignored.py\n")
    make(repository, "a.py", "ignored.py")
    programs = tmp_path / "programs"
    programs.mkdir()
    if broken == "failing":
        (programs / "git").write_text("#!/bin/sh\necho a.py\nexit 128\n")
        (programs / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    assert below(repository) == ["a.py", "ignored.py"]


def test_names_that_are_not_utf_8(repository: Path) -> None:
    strange = os.fsdecode(b"caf\xe9 \xf0\n.py")
    make(repository, strange, text="import xformers\n")
    assert below(repository) == [strange]
    git(repository, "add", ".")
    files = list_files([repository])
    assert Searcher(files).first() == [repository / strange]


# Patterns

TREE = [
    "a.py",
    "a_pb2.py",
    "src/tests/deep/t.py",
    "src/vendor/v.py",
    "src/vendored.py",
    "tests/t.py",
    "tests_more.py",
]


@pytest.mark.parametrize(
    ("exclude", "gone"),
    [
        ("tests/", ["src/tests/deep/t.py", "tests/t.py"]),
        ("tests", ["src/tests/deep/t.py", "tests/t.py"]),
        ("/tests/", ["tests/t.py"]),
        ("tests/*", ["tests/t.py"]),
        ("*_pb2.py", ["a_pb2.py"]),
        ("*_pb2.py/", []),
        ("a?pb2.py", ["a_pb2.py"]),
        ("src?vendored.py", []),
        ("a.py", ["a.py"]),
        ("?.py", ["a.py", "src/tests/deep/t.py", "src/vendor/v.py", "tests/t.py"]),
        ("[!a-c].py", ["src/tests/deep/t.py", "src/vendor/v.py", "tests/t.py"]),
        ("[a-c].py", ["a.py"]),
        ("src[!x]vendored.py", []),
        ("**/vendor/*", ["src/vendor/v.py"]),
        ("vendor/*", []),
        ("src/**", ["src/tests/deep/t.py", "src/vendor/v.py", "src/vendored.py"]),
        ("src/**/t.py", ["src/tests/deep/t.py"]),
        ("src/**/v*.py", ["src/vendor/v.py", "src/vendored.py"]),
        ("src/*.py", ["src/vendored.py"]),
        ("SRC/", []),
        (r"\a.py", ["a.py"]),
        ("a+py", []),
    ],
)
@pytest.mark.parametrize("with_git", [False, True])
def test_exclude(tmp_path: Path, exclude: str, gone: list[str], with_git: bool) -> None:
    make(tmp_path, *TREE)
    if with_git:
        git(tmp_path, "init", "-q")
    assert below(tmp_path, exclude=[exclude]) == [name for name in TREE if name not in gone]


@pytest.mark.parametrize(
    ("include", "taken"),
    [
        (["*.txt"], ["a.py/b.txt", "a.txt", "src/c.txt"]),
        (["*.py", "src/*.txt"], ["b.py", "src/c.txt"]),
        (["src/"], ["src/c.txt", "src/d/e.md"]),
        (["src/**/*.md"], ["src/d/e.md"]),
        ([], []),
    ],
)
def test_include_is_about_files(tmp_path: Path, include: list[str], taken: list[str]) -> None:
    make(tmp_path, "a.txt", "a.py/b.txt", "b.py", "src/c.txt", "src/d/e.md")
    assert below(tmp_path, include=include) == taken


def test_an_excluded_folder_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "data/a.py", "src/b.py")
    entered: list[str] = []
    scandir = os.scandir

    def spy(path: str) -> object:
        entered.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", spy)
    assert below(tmp_path, exclude=["data/"]) == ["src/b.py"]
    assert not any("data" in path for path in entered)
    assert any("src" in path for path in entered)


def test_patterns_with_a_slash_start_at_base(tmp_path: Path) -> None:
    make(tmp_path, "src/vendor/v.py", "src/a.py", "other/src/vendor/w.py")
    assert below(tmp_path / "src", exclude=["src/vendor/"]) == ["a.py", "vendor/v.py"]
    assert below(tmp_path / "src", exclude=["src/vendor/"], base=tmp_path) == ["a.py"]
    assert below(tmp_path / "src", include=["src/*.py"], base=tmp_path) == ["a.py"]
    assert below(tmp_path / "src", exclude=["vendor/*"], base=tmp_path / "other") == ["a.py"]


def test_a_named_folder_is_not_excluded_itself(tmp_path: Path) -> None:
    make(tmp_path, "src/vendor/v.py", "src/vendor/old/w.py")
    folder = tmp_path / "src" / "vendor"
    exclude = ["vendor", "src/", "old/"]
    assert below(folder, exclude=exclude, base=tmp_path) == ["v.py"]
    assert below(folder, exclude=exclude) == ["v.py"]
    assert below(tmp_path, exclude=exclude, base=tmp_path) == []


@pytest.mark.parametrize("pattern", ["", "/", "!keep.py", "[z-a].py"])
def test_malformed_patterns(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(DiscoverError) as caught:
        list_files([tmp_path], exclude=[pattern])
    assert caught.value.path == pattern


# The search


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
    read = search._read

    def spy(file: str) -> bytes:
        reads.append(Path(file).name)
        return read(file)

    monkeypatch.setattr(search, "_read", spy)
    searcher = Searcher(list_files([tmp_path]))
    searcher.first()
    searcher.matching([b"none"])
    searcher.matching([b"none"])
    searcher.matching([])
    assert reads == ["a.py", "b.py", "b.py"]


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


# Several processes


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


# Cost


def test_a_run_without_a_match_imports_next_to_nothing(tmp_path: Path) -> None:
    make(tmp_path, "a.py")
    git(tmp_path, "init", "-q")
    code = (
        f"import os, sys; sys.path.insert(0, {str(Path(listing.__file__).parents[2])!r})\n"
        "before = set(sys.modules)\n"
        "from xf2sdpa.files.listing import list_files; from xf2sdpa.files.search import Searcher\n"
        f"assert Searcher(list_files([{str(tmp_path)!r}])).first() == []\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, capture_output=True, text=True)
    assert set(done.stdout.split()) <= {
        "__future__",
        "xf2sdpa",
        "xf2sdpa.files",
        "xf2sdpa.files.errors",
        "xf2sdpa.files.git",
        "xf2sdpa.files.listing",
        "xf2sdpa.files.patterns",
        "xf2sdpa.files.search",
    }
