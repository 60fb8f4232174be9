"""source: what is read comes back byte for byte; a write is all or nothing."""

from __future__ import annotations

import ast
import codecs
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from xf2sdpa.files import source
from xf2sdpa.files.source import Source, SourceError, decode, read, write

HERE = Path("here.py")


def refused(data: bytes) -> SourceError:
    with pytest.raises(SourceError) as caught:
        decode(data, HERE)
    assert caught.value.code == "XF903"
    assert caught.value.path == HERE
    return caught.value


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Decoding

ROUND_TRIPS = {
    "empty": (b"", "utf-8", False, "\n"),
    "no final newline": (b"x = 1", "utf-8", False, "\n"),
    "plain": (b"x = 1\ny = 2\n", "utf-8", False, "\n"),
    "utf-8": ("é = '世界 🎉'\n".encode(), "utf-8", False, "\n"),
    "windows": (b"x = 1\r\ny = 2\r\n", "utf-8", False, "\r\n"),
    "old mac": (b"x = 1\ry = 2\r", "utf-8", False, "\r"),
    "mixed, mostly windows": (b"a\r\nb\nc\r\nd\r", "utf-8", False, "\r\n"),
    "mixed, a draw": (b"a\r\nb\n", "utf-8", False, "\n"),
    "form feed and odd spaces": (b"x = 1\n\x0c\ny = 2\n\x0b\x1c \t \n  ", "utf-8", False, "\n"),
    "line separators": ("x = '\u2028\u2029\x85'\n".encode(), "utf-8", False, "\n"),
    "bom": (codecs.BOM_UTF8 + b"x = 1\n", "utf-8", True, "\n"),
    "bom alone": (codecs.BOM_UTF8, "utf-8", True, "\n"),
    "two boms": (codecs.BOM_UTF8 * 2 + b"x\n", "utf-8", True, "\n"),
    "bom and declaration": (codecs.BOM_UTF8 + b"# coding: utf-8\n", "utf-8", True, "\n"),
    "bom, declaration in the second line": (codecs.BOM_UTF8 + b"#\n# coding: utf-8\n", "utf-8", True, "\n"),
    "latin-1": (b"# -*- coding: latin-1 -*-\nx = '\xe9'\n", "iso8859-1", False, "\n"),
    "second line": (
        b"#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\nx = '\x80'\n",
        "cp1252",
        False,
        "\n",
    ),
    "first line not ascii": (b"# Auteur: \xe9\n# coding: latin-1\n", "iso8859-1", False, "\n"),
    "declared after a lone return": (b"#!x\r# coding: latin-1\rx = '\xe9'\r", "iso8859-1", False, "\r"),
    "not declared after code": (b"x = 1\n# coding: latin-1\n", "utf-8", False, "\n"),
    "not declared in the third line": (b"#\n#\n# coding: latin-1\n", "utf-8", False, "\n"),
    "not declared in the third line, old mac": (b"#\r#\r# coding: latin-1\r", "utf-8", False, "\r"),
    "japanese": ("# coding: euc-jp\nx = '日本'\n".encode("euc-jp"), "euc_jp", False, "\n"),
}


@pytest.mark.parametrize(("data", "encoding", "bom", "newline"), ROUND_TRIPS.values(), ids=ROUND_TRIPS)
def test_what_is_read_comes_back(data: bytes, encoding: str, bom: bool, newline: str) -> None:
    decoded = decode(data, HERE)
    assert (decoded.path, decoded.data) == (HERE, data)
    assert (decoded.encoding, decoded.bom, decoded.newline) == (encoding, bom, newline)
    assert decoded.encode(decoded.text) == data


def test_newlines_stay_in_the_text_and_the_mark_does_not() -> None:
    assert decode(codecs.BOM_UTF8 + b"a\r\nb\rc\n\x0c", HERE).text == "a\r\nb\rc\n\x0c"


@pytest.mark.parametrize("name", sorted(ROUND_TRIPS.keys() - {"two boms", "form feed and odd spaces"}))
def test_the_text_is_the_one_that_python_sees(name: str) -> None:
    data = ROUND_TRIPS[name][0]
    assert ast.dump(ast.parse(decode(data, HERE).text)) == ast.dump(ast.parse(data))


@pytest.mark.parametrize(
    ("data", "message", "line", "column"),
    [
        (b"x = 1\n\xc3\xa9 = '\xe9'\n", "is not utf-8: invalid continuation byte", 2, 5),
        (b"a\r\nb\rc \xff", "is not utf-8: invalid start byte", 3, 2),
        (b"# coding: ascii\nx = '\xe9'\n", "is not ascii", 2, 5),
        (b"#\n# coding: klingon\n", "unknown encoding: klingon", 2, 0),
        (b"# coding: klingon\n", "unknown encoding: klingon", 1, 0),
        (b"# coding: rot13\n", "not a text encoding", 1, 0),
        (b"# coding: undefined\n", "cannot be read as undefined", 1, 0),
        (b"# coding: utf-16\n\n", "byte for byte", 1, 0),
        (codecs.BOM_UTF8 + b"# coding: latin-1\n", "does not declare utf-8", 1, 0),
        (codecs.BOM_UTF8 + b"#\n# coding: utf8\n", "does not declare utf-8", 2, 0),
        ("x = 1\n".encode("utf-16"), "UTF-16", 1, 0),
        (codecs.BOM_UTF16_BE + "x = 1\n".encode("utf-16-be"), "UTF-16", 1, 0),
        ("x = 1\n".encode("utf-16-le"), "NUL byte", 1, 1),
        (b"x = 1\ny = '\0'\n", "NUL byte", 2, 5),
        # ESC ( B changes nothing here: reading and writing would drop it.
        (b"# coding: iso-2022-jp\nx = 1\x1b(B\n", "byte for byte", 1, 0),
    ],
)
def test_refused(data: bytes, message: str, line: int, column: int) -> None:
    error = refused(data)
    assert message in error.message
    assert (error.line, error.column) == (line, column)


def test_an_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(refused(b"a \xff")))
    assert (error.line, error.column, error.code) == (1, 2, "XF903")
    assert str(error) == "here.py:1:3: XF903 is not utf-8: invalid start byte"


# Encoding


def test_a_new_text_is_written_as_the_old_one() -> None:
    decoded = decode(codecs.BOM_UTF8 + b"x = 1\r\n", HERE)
    assert decoded.encode("é = 1\r\n") == codecs.BOM_UTF8 + "é = 1\r\n".encode()
    assert decode(b"# coding: latin-1\n", HERE).encode("# coding: latin-1\né\n").endswith(b"\xe9\n")


@pytest.mark.parametrize(
    ("data", "text", "message", "place"),
    [
        (
            b"# coding: latin-1\n",
            "# coding: latin-1\nab€\n",
            r"'\u20ac' cannot be written as iso8859-1",
            (2, 2),
        ),
        (b"x\n", "x = '\ud800'\n", "cannot be written as utf-8", (1, 5)),
        (
            b"# coding: latin-1\n'\xe9'\n",
            "import a\nimport b\n# coding: latin-1\n'é'\n",
            "is not utf-8",
            (4, 1),
        ),
        (b"x = 'coding: latin-1'\n", "#coding: latin-1\nx = 'é'\n", "no longer be read as utf-8", (1, 0)),
        (b"x\n", "\ufeffx\n", "no longer be read as utf-8", (1, 0)),
        (b"x\n", "x\0\n", "NUL byte", (1, 1)),
    ],
)
def test_a_text_that_would_not_be_read_as_written(data: bytes, text: str, message: str, place: tuple[int, int]) -> None:
    with pytest.raises(SourceError) as caught:
        decode(data, HERE).encode(text)
    assert message in caught.value.message
    assert (caught.value.line, caught.value.column) == place
    assert caught.value.code == "XF903"


# Reading


def test_read(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_bytes(b"x = 1\r\n")
    assert read(file) == Source(file, b"x = 1\r\n", "x = 1\r\n", "utf-8", False, "\r\n")


@pytest.mark.parametrize("name", ["nowhere.py", "."])
def test_unreadable(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=r"XF902 cannot be read: (No such file|Is a directory)"):
        read(tmp_path / name)


def test_the_locale_does_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "é.py"
    file.write_bytes("x = 'é世'\r\n".encode())
    code = (
        "from xf2sdpa.files.source import *; from pathlib import Path; import sys\n"
        "file = next(Path('.').glob('*.py')); source = read(file)\n"
        "write(file, source.encode(source.text + source.text), expected=source.data)"
    )
    for locale in ("C", "POSIX", "en_US.ISO-8859-1"):
        before = file.read_bytes()
        environment = {
            **os.environ,
            "LC_ALL": locale,
            "PYTHONCOERCECLOCALE": "0",
            "PYTHONPATH": str(Path(source.__file__).parents[2]),
        }
        subprocess.run([sys.executable, "-X", "utf8=0", "-c", code], cwd=tmp_path, env=environment, check=True)
        assert file.read_bytes() == before * 2


# Writing


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "a.py"
    file.write_bytes(b"old\n")
    return file


def untouched(file: Path) -> bool:
    """Whether the file is as the fixture made it, and alone."""
    return file.read_bytes() == b"old\n" and names(file.parent) == [file.name]


def test_write_replaces(file: Path) -> None:
    inode = file.stat().st_ino
    write(file, b"new\n", expected=b"old\n")
    assert file.read_bytes() == b"new\n"
    assert file.stat().st_ino != inode, "written in place: a crash would leave half a file"
    assert names(file.parent) == ["a.py"]


def test_write_makes_a_file_with_the_usual_mode(tmp_path: Path) -> None:
    usual = tmp_path / "usual.py"
    usual.write_bytes(b"")
    write(tmp_path / "new.py", b"new\n")
    assert (tmp_path / "new.py").read_bytes() == b"new\n"
    assert (tmp_path / "new.py").stat().st_mode == usual.stat().st_mode


@pytest.mark.parametrize("mode", [0o644, 0o755, 0o600, 0o666, 0o2775])
def test_mode_bits_stay(file: Path, mode: int) -> None:
    file.chmod(mode)
    write(file, b"new\n")
    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_owner_and_group_stay(file: Path) -> None:
    os.chown(file, 12345, 23456)
    file.chmod(0o6755)
    write(file, b"new\n")
    status = file.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 23456, 0o6755)


def test_an_owner_that_cannot_be_kept_is_no_failure(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    write(file, b"new\n")
    assert file.read_bytes() == b"new\n"


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "folder" / "link.py"
    link.symlink_to("../again.py")
    (tmp_path / "again.py").symlink_to("a.py")
    write(link, b"new\n", expected=b"old\n")
    assert str(link.readlink()) == "../again.py"
    assert (file.read_bytes(), file.is_symlink()) == (b"new\n", False)
    assert names(tmp_path / "folder") == ["link.py"]


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    file = tmp_path / ("a" * 252 + ".py")
    file.write_bytes(b"old\n")
    write(file, b"new\n")
    assert file.read_bytes() == b"new\n"


def test_what_changed_meanwhile_is_not_overwritten(file: Path) -> None:
    with pytest.raises(SourceError, match="XF904 has changed on disk"):
        write(file, b"new\n", expected=b"older\n")
    assert untouched(file)


def test_a_change_while_the_new_content_is_written_is_seen(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: file.write_bytes(b"mine\n"))
    with pytest.raises(SourceError, match="has changed on disk"):
        write(file, b"new\n", expected=b"old\n")
    assert file.read_bytes() == b"mine\n"
    assert names(file.parent) == ["a.py"]


def test_a_file_deleted_meanwhile_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="XF904 cannot be written: No such file"):
        write(tmp_path / "gone.py", b"new\n", expected=b"old\n")
    assert names(tmp_path) == []


@pytest.mark.parametrize(("owner", "step"), [(os, "fsync"), (Path, "replace"), (Path, "chmod")])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_file_and_nothing_else(
    file: Path, monkeypatch: pytest.MonkeyPatch, owner: object, step: str, failure: BaseException
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(owner, step, fail)
    with pytest.raises(SourceError if isinstance(failure, OSError) else KeyboardInterrupt) as caught:
        write(file, b"new\n")
    assert untouched(file)
    if isinstance(failure, OSError):
        assert str(caught.value) == f"{file}:1:1: XF904 cannot be written: No space left on device"


def test_a_folder_without_permission(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refuse(path: str, flags: int, *rest: int) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", path)
        return opened(path, flags, *rest)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(SourceError, match="XF904 cannot be written: Permission denied"):
        write(file, b"new\n")
    monkeypatch.undo()
    assert untouched(file)


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(file: Path) -> None:
    file.parent.chmod(0o500)
    try:
        with pytest.raises(SourceError, match="XF904 cannot be written: Permission denied"):
            write(file, b"new\n")
    finally:
        file.parent.chmod(0o700)
    assert untouched(file)


def test_a_read_only_file_is_respected(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not (Path(path) == file and mode == os.W_OK))
    with pytest.raises(SourceError, match="XF904 cannot be written: the file is read-only"):
        write(file, b"new\n")
    assert untouched(file)


def test_only_regular_files_are_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(SourceError, match="not a regular file"):
            write(path, b"new\n")
    assert names(tmp_path) == ["pipe"]
