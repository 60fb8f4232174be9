"""Bytes to text and back, so that what is not edited stays as it was, byte for byte; and safe writing.

A text keeps the newlines of its file ("\r\n" stays "\r\n"); a byte order mark is no part of it.
Nothing here depends on the locale or on Python's UTF-8 mode.
"""

from __future__ import annotations

import codecs
import contextlib
import functools
import os
import re
import stat
import time
import tokenize
from dataclasses import dataclass
from pathlib import Path

from xf2sdpa.files.reading import read_regular

UNPARSABLE = "XF901"
"""The text is not Python (raised by those who parse it)."""
UNREADABLE = "XF902"
"""The file cannot be read."""
UNDECODABLE = "XF903"
"""Bytes and declared encoding do not agree, in one direction or the other."""
UNWRITABLE = "XF904"
"""The file cannot be written, or must not be because it has changed meanwhile."""

_WIDE_MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16", codecs.BOM_UTF32_BE: "UTF-32"}
_DRAFT = re.compile(r"\.xf2sdpa-[0-9a-f]{16}\.tmp")
_OLD = 60
"""Seconds after which nobody is at work on a draft any more."""
_ASCII_ONLY = bytes(byte if byte < 0x80 else ord("?") for byte in range(256))


class SourceError(Exception):
    """A file that cannot be worked on, and where: lines from 1, columns from 0; (1, 0) is also its whole."""

    def __init__(self, path: Path, line: int, column: int, code: str, message: str) -> None:
        super().__init__(path, line, column, code, message)
        self.path = path
        self.line = line
        self.column = column
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column + 1}: {self.code} {self.message}"


@dataclass(frozen=True)
class Source:
    """A file's bytes and the text they stand for."""

    path: Path
    data: bytes
    text: str
    encoding: str
    """Python's name of the codec; "utf-8" also where there is a byte order mark."""
    bom: bool
    newline: str
    """What most lines end in; the first of the three kinds on a draw, "\\n" where no line ends."""

    @property
    def whole(self) -> str:
        """The text of the whole file, which `encode` takes; a notebook's JSON is more than its code."""
        return self.text

    def encode(self, text: str) -> bytes:
        """Return the text as bytes of this file: same encoding, same byte order mark.

        Raises:
            SourceError: XF903, the encoding lacks a character of the text, or the text, read again, would
                not be the same (an edit has moved or changed the encoding's declaration).
        """
        try:
            data = text.encode(self.encoding)
        except UnicodeEncodeError as error:
            line, column = _position(text[: error.start])
            message = f"{text[error.start]!a} cannot be written as {self.encoding}"
            raise SourceError(self.path, line, column, UNDECODABLE, message) from None
        data = codecs.BOM_UTF8 + data if self.bom else data
        if decode(data, self.path).text != text:
            message = f"with this edit the file would no longer be read as {self.encoding}"
            raise SourceError(self.path, 1, 0, UNDECODABLE, message)
        return data


def decode(data: bytes, path: Path) -> Source:
    """Return the source that the bytes are, by its byte order mark or its declaration (PEP 263), else UTF-8.

    Raises:
        SourceError: XF903, the bytes are not what they declare, the encoding is unknown or not one for
            source text (UTF-16 and UTF-32 are none), or there is a NUL byte.
    """
    encoding, bom = _encoding(data, path)
    body = data[len(codecs.BOM_UTF8) :] if bom else data
    try:
        text = body.decode(encoding)
        # Some codecs know several spellings of one text; writing it would then touch what nobody edited.
        survives = text.encode(encoding) == body
    except UnicodeDecodeError as error:
        line, column = _position(body[: error.start].decode(encoding, "replace"))
        raise SourceError(path, line, column, UNDECODABLE, f"is not {encoding}: {error.reason}") from None
    except (LookupError, ValueError) as error:
        raise SourceError(path, 1, 0, UNDECODABLE, f"cannot be read as {encoding}: {error}") from None
    if not survives:
        message = f"would not come back byte for byte, were it read and written as {encoding}"
        raise SourceError(path, 1, 0, UNDECODABLE, message)
    return Source(path, data, text, encoding, bom, _newline(text))


def read(path: Path) -> Source:
    """Return the file's source.

    Raises:
        SourceError: XF902, it cannot be read, and all that `decode` raises.
    """
    try:
        data = read_regular(path)
    except OSError as error:
        raise SourceError(path, 1, 0, UNREADABLE, f"cannot be read: {error.strerror or error}") from error
    return decode(data, path)


def text_or_nothing(path: Path) -> str:
    """The file's text; empty where it cannot be read, which only matters to who must work on it."""
    try:
        return read(path).text
    except SourceError:
        return ""


def write(path: Path, data: bytes, *, expected: bytes | None = None) -> None:
    """Replace the file's content, or make the file; at no moment does it hold a part of either.

    A link stays a link: the file that it points to is replaced. Mode bits stay, owner and group where the
    system permits; another hard link to the file keeps the old content. With `expected`, the file must
    still hold these bytes.

    Raises:
        SourceError: XF904, it cannot be written, is read-only, or no longer holds `expected`. It is then
            as it was.
    """
    target = Path(os.path.realpath(path))
    _sweep(target.parent)
    # A name of its own, not one made from the target's: that may be as long as names may be.
    draft = target.with_name(f".xf2sdpa-{os.urandom(8).hex()}.tmp")
    try:
        status = target.stat() if target.exists() else None
        if status is not None:
            _check_writable(path, target, status)
        try:
            _write_draft(draft, data, status)
            # As late as can be: what somebody saves after this line is lost.
            if expected is not None and read_regular(target) != expected:
                raise SourceError(path, 1, 0, UNWRITABLE, "has changed on disk since it was read")
            draft.replace(target)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        message = f"cannot be written: {error.strerror or error}"
        raise SourceError(path, 1, 0, UNWRITABLE, message) from error


@functools.lru_cache(maxsize=4096)  # once a folder
def _sweep(folder: Path) -> None:
    """Delete what a run left in a folder that was killed while it wrote there; a draft lives for moments."""
    with contextlib.suppress(OSError):
        for draft in folder.glob(".xf2sdpa-*.tmp"):
            status = draft.lstat()
            if _DRAFT.fullmatch(draft.name) and stat.S_ISREG(status.st_mode) and time.time() - status.st_mtime > _OLD:
                draft.unlink()


def _check_writable(path: Path, target: Path, status: os.stat_result) -> None:
    """Refuse what a replacement would overrule silently: a device, or a file marked read-only."""
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(path, 1, 0, UNWRITABLE, "cannot be written: not a regular file")
    if not os.access(target, os.W_OK):
        raise SourceError(path, 1, 0, UNWRITABLE, "cannot be written: the file is read-only")


def _write_draft(draft: Path, data: bytes, status: os.stat_result | None) -> None:
    """Write a new file with the content to come, and with owner and mode of the file it will replace."""
    mode = 0o666 if status is None else stat.S_IMODE(status.st_mode)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        # Without it a power failure soon after may leave an empty file under the old name: some file systems
        # put the new name on disk before the data. A few milliseconds, beside a parse that takes hundreds.
        os.fsync(stream.fileno())
    if status is None:
        return
    if hasattr(os, "chown"):
        with contextlib.suppress(OSError):
            os.chown(draft, status.st_uid, status.st_gid)
    draft.chmod(mode)  # after chown, which may clear bits; and the umask has taken some


def _encoding(data: bytes, path: Path) -> tuple[str, bool]:
    """Return the codec's name and whether there is a byte order mark of UTF-8."""
    for mark, name in _WIDE_MARKS.items():
        if data.startswith(mark):
            raise SourceError(path, 1, 0, UNDECODABLE, f"is {name}, which Python does not take as source")
    before, nul, _ = data.partition(b"\0")
    if nul:
        line, column = _position(before.decode("utf-8", "replace"))
        raise SourceError(path, line, column, UNDECODABLE, "holds a NUL byte: no text, or one in UTF-16")
    bom = data.startswith(codecs.BOM_UTF8)
    body = data[len(codecs.BOM_UTF8) :] if bom else data
    # As Python's parser, unlike tokenize alone: a lone "\r" ends a line, and what surrounds the declaration
    # need not be UTF-8.
    first_two = [line.translate(_ASCII_ONLY) for line in body.splitlines(keepends=True)[:2]]
    lines = iter([codecs.BOM_UTF8 + b"".join(first_two[:1]), *first_two[1:]] if bom else first_two)
    try:
        encoding, _ = tokenize.detect_encoding(lambda: next(lines, b""))
    except SyntaxError as error:
        line = 1 if b"coding" in first_two[0] else 2
        message = "has UTF-8's byte order mark, but does not declare utf-8" if bom else str(error)
        raise SourceError(path, line, 0, UNDECODABLE, message) from None
    return codecs.lookup("utf-8" if bom else encoding).name, bom


def _position(before: str) -> tuple[int, int]:
    """Return line (from 1) and column (from 0) of what follows this text."""
    before = before.replace("\r\n", "\n").replace("\r", "\n")
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1)


def _newline(text: str) -> str:
    pairs = text.count("\r\n")
    counts = {"\n": text.count("\n") - pairs, "\r\n": pairs, "\r": text.count("\r") - pairs}
    return max(counts, key=lambda ending: counts[ending])
