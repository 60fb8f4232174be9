"""A search of many files' bytes, before anything is parsed.

Most files of most runs end here, so nothing is imported but what reading needs, and paths are plain strings.
"""
# ruff: noqa: PLC0415 - pathlib only where something is found: it costs as much as the search

from __future__ import annotations

import marshal
import os
import sys

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from xf2sdpa.files.patterns import StrPath

    Data = bytes | bytearray
    Hit = Callable[[Data], bool]
    Sifted = tuple[list[str], list[tuple[str, str]]]


FIRST_NEEDLES: tuple[bytes, ...] = (b"xformers", b"mslk")
"""What a file must name, in any case, before anything else about it is asked. To be written in lower case."""

_WIDE = (b"\xff\xfe", b"\xfe\xff")
"""How a file in UTF-16 or UTF-32 begins."""
_CHUNK = 1 << 17
_BATCH = 1 << 16
"""How many bytes of small files are searched at once. More would leave the processor's cache."""
_WINDOW = 4 << 20
"""How much of a file is looked at in one piece; larger ones are searched piece by piece."""
_OVERLAP = 1 << 10
_LARGEST = 64 << 20
"""A file that is no source text, whatever it is called: it is named, and not read to its end."""
_SMALLEST_SHARE = 256
_FEW_WORDS = 16
_ALIKE = {"x": 109, "f": 115, "2": 109, "o": 108, "d": 108, "r": 107, "p": 107}
_FOLDED = bytes(_ALIKE.get(chr(byte).lower(), ord(chr(byte).lower()) if byte < 0x80 else byte) for byte in range(256))
"""Makes lower case, and of `xfor` and `2sdp` what `mslk` is: one search for all three, which seldom stops elsewhere."""
_FOLDED_NEEDLE = b"mslk"
_WORD_BYTES = bytes(
    byte if byte >= 0x80 or byte == ord("_") or chr(byte).isalnum() else ord(" ") for byte in range(256)
)


class Searcher:
    """The files not yet found to matter. Each round hands out those that a new needle hits."""

    def __init__(self, files: Iterable[StrPath]) -> None:
        self.unreadable: list[tuple[Path, str]] = []
        self._left = [os.fspath(file) for file in files]
        self._asked: set[bytes] = set()

    def first(self, *further: bytes) -> list[Path]:
        """Return the files that hold one of FIRST_NEEDLES, or of further ones in lower case, in any case, anywhere."""
        needles = FIRST_NEEDLES + further
        others = (needle.translate(_FOLDED) for needle in further)
        folded_needles = (_FOLDED_NEEDLE, *(needle for needle in others if _FOLDED_NEEDLE not in needle), b"\xff")

        # Plain search of a translation takes a tenth of what a regular expression that ignores case takes.
        def hit(data: Data) -> bool:
            folded = data.translate(_FOLDED)
            for needle in folded_needles:  # any() costs a generator for every file
                if needle in folded:
                    break
            else:
                return False
            lowered = data.lower()
            if data[:2] in _WIDE:  # Python does not take such a file; whoever reads it will say so
                lowered = lowered.replace(b"\0", b"")
            return any(needle in lowered for needle in needles)

        return self._take(hit)

    def matching(self, words: Collection[bytes]) -> list[Path]:
        """Return the files, not returned before, that hold one of `words` as a whole word, case and all.

        A word that was asked before is not searched again.

        Raises:
            ValueError: one of `words` is not a single identifier (a dotted name would never be found).
        """
        fresh = {bytes(word) for word in words} - self._asked
        for word in fresh:
            if word.translate(_WORD_BYTES).split() != [word]:
                raise ValueError(f"not a single word: {word!r}")
        if not fresh:
            return []
        self._asked |= fresh

        def hit(data: Data) -> bool:
            # Splitting into words costs as much as some 16 plain searches, which most files fail.
            if len(fresh) <= _FEW_WORDS and not any(word in data for word in fresh):
                return False
            return not fresh.isdisjoint(bytes(data).translate(_WORD_BYTES).split())

        return self._take(hit)

    def holding(self, words: Collection[bytes]) -> list[Path]:
        """Return the files, not returned before, that hold one of `words` anywhere: `\\n` may precede it in JSON."""
        if not words:
            return []
        return self._take(lambda data: any(word in data for word in words))

    def _take(self, hit: Hit) -> list[Path]:
        hits, failed = _sift_apart(self._left, hit)
        if not hits and not failed:
            return []
        from pathlib import Path

        done = {*hits, *(file for file, _ in failed)}
        self._left = [file for file in self._left if file not in done]
        self.unreadable += [(Path(file), why) for file, why in failed]
        return [Path(file) for file in hits]


def _sift(files: Sequence[str], hit: Hit) -> Sifted:
    """Return the files whose bytes hit, and those that cannot be read, with the reason.

    Small files are searched many at a time: together they hold a needle where one of them does. Each of those is read
    once more, by itself; so is what could not be read.
    """
    hits: list[str] = []
    failed: list[tuple[str, str]] = []
    for names, data in _batches(files):
        if data is not None and not hit(data):
            continue
        for file in names:
            try:
                if any(map(hit, _read(file))):
                    hits.append(file)
            except OSError as error:
                failed.append((file, error.strerror or str(error)))
    return hits, failed


def _batches(files: Sequence[str]) -> Iterator[tuple[list[str], bytearray | None]]:
    """Yield files with their bytes, a line end between them; None for those to be read by themselves.

    They are read into the same place again and again: to ask for new memory a file takes as long as to search it.
    """
    if not hasattr(os, "readv"):
        yield list(files), None
        return
    place = bytearray(4 * _BATCH)
    view = memoryview(place)
    names: list[str] = []
    filled = 0
    for file in files:
        try:
            descriptor = os.open(file, os.O_RDONLY)
            try:
                count = os.readv(descriptor, [view[filled:]])
            finally:
                os.close(descriptor)
        except OSError:
            count = -1
        if count < 0 or filled + count >= len(place):
            yield [file], None
            continue
        names.append(file)
        filled += count
        place[filled] = 10
        filled += 1
        if filled > _BATCH:
            yield names, place[:filled]
            names, filled = [], 0
    yield names, place[:filled]


def _sift_apart(files: list[str], hit: Hit) -> Sifted:
    """Do what `_sift` does, with the files dealt out to forked processes where that saves time.

    Reading and searching hold the interpreter's lock, so threads would not help; a pool from the library
    takes longer to import than the whole search.
    """
    shares = _shares(files)
    children = [(share, *_fork(share, hit)) for share in shares[1:]]
    hits, failed = _sift(shares[0], hit)
    for share, pid, pipe in children:
        with os.fdopen(pipe, "rb") as stream:
            answer = stream.read()
        _, status = os.waitpid(pid, 0)
        more_hits, more_failed = marshal.loads(answer) if status == 0 else _sift(share, hit)
        hits += more_hits
        failed += more_failed
    return sorted(hits), sorted(failed)


def _shares(files: list[str]) -> list[list[str]]:
    """Deal the files out: a share for each processor, none too small to be worth a process."""
    threading = sys.modules.get("threading")
    # Linux only: elsewhere fork is missing, or unsafe with the system's own libraries; nowhere with threads.
    if sys.platform != "linux" or (threading and threading.active_count() > 1):
        return [files]
    count = max(1, min(len(os.sched_getaffinity(0)), len(files) // _SMALLEST_SHARE))
    return [files[first::count] for first in range(count)]


def _fork(files: list[str], hit: Hit) -> tuple[int, int]:
    """Start a process that sifts the files; return its id and the pipe on which the answer comes."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    status = 1
    try:
        with os.fdopen(writing, "wb") as stream:
            stream.write(marshal.dumps(_sift(files, hit)))
        status = 0
    finally:
        os._exit(status)  # whatever happened: nothing of the parent's may run twice


def _read(file: str) -> Iterator[bytes]:
    """Yield the file's bytes, in one piece unless it is large; open() does the same with four more system calls."""
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        chunks, held, total = [], 0, 0
        while chunk := os.read(descriptor, _CHUNK):
            chunks.append(chunk)
            held += len(chunk)
            if held > _WINDOW:
                window = b"".join(chunks)
                yield window
                chunks, total = [window[-_OVERLAP:]], total + held  # a needle may lie across the border
                held = _OVERLAP
                if total > _LARGEST:
                    import errno

                    raise OSError(errno.EFBIG, f"larger than {_LARGEST >> 20} MiB")
    finally:
        os.close(descriptor)
    yield chunks[0] if len(chunks) == 1 else b"".join(chunks)
