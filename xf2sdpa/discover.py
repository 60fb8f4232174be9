"""Which files under the given paths can matter: git's listing (or a walk), then a search of their bytes.

Nothing is parsed here. A run in which no file matches spends nearly all its time in this module, so it
imports next to nothing, and works on `str` paths: 2,000 `Path` objects, made and sorted, cost as much as
reading the files.
"""
# No pathlib in the hot loops, and imports where they are needed, or a run would take twice as long:
# ruff: noqa: PTH110, PTH112, PTH113, PTH118, PTH120, PLC0415

from __future__ import annotations

import marshal
import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    StrPath = str | os.PathLike[str]
    Filter = Callable[[str], bool]
    Hit = Callable[[bytes], bool]
    Sifted = tuple[list[str], list[tuple[str, str]]]

FIRST_NEEDLES: tuple[bytes, ...] = (b"xformers", b"mslk")
"""What a file must name, in any case, before anything else about it is asked. To be written in lower case."""

INCLUDE = ("*.py", "*.pyi")
"""The patterns of the files that are taken out of a folder, unless told otherwise."""

SKIPPED_FOLDERS = frozenset(
    [
        *(".eggs", ".git", ".hg", ".mypy_cache", ".nox", ".pytest_cache", ".ruff_cache", ".tox", ".venv"),
        *("__pycache__", "build", "dist", "node_modules", "site-packages", "venv"),
    ]
)
"""Folders that a walk does not enter. Git's listing needs no such table: it has the ignore rules."""

_CHUNK = 1 << 17
_SMALLEST_SHARE = 256
_FEW_WORDS = 16
_WORD_BYTES = bytes(
    byte if byte >= 0x80 or byte == ord("_") or chr(byte).isalnum() else ord(" ") for byte in range(256)
)
# What a surrounding git command (a hook, say) would make every git below it believe.
_GIT_PLACES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"}


class DiscoverError(Exception):
    """A path or pattern that cannot be used: `path` is the one at fault, `message` says why."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(path, message)
        self.path = path
        self.message = message

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def list_files(
    paths: Sequence[StrPath],
    *,
    include: Sequence[str] = INCLUDE,
    exclude: Sequence[str] = (),
    base: StrPath | None = None,
) -> list[str]:
    """Return the files that `paths` stand for, each once, sorted, spelled from the path given.

    A file that is named itself is always taken. Of a folder, the files that match a pattern of `include`
    and none of `exclude` are taken: in a git work tree those that git tracks or would track (no submodules,
    no repositories inside it), elsewhere, and in a folder that git itself ignores, all that a walk finds
    outside SKIPPED_FOLDERS. Links to files are taken unless the file itself is; links to folders are not
    followed, except one named in `paths`. A folder that cannot be opened is listed as if it were a file,
    for the search to report.

    Patterns are those of a .gitignore without negation, and know case:
    `*`, `?`, `[abc]`, `[!abc]` stay within one name, and `**` between slashes is any number of folders;
    without a slash, or with one only at the end, a pattern is about a name at any depth, else it starts at
    `base` (where the folder lies in it) or at the folder given;
    an `exclude` hits files and folders, and what is in such a folder; an `include` hits files;
    either, with a slash at the end, hits folders only, and what is in them.
    An `exclude` that hits the given folder itself does not count for it: naming wins.

    Raises:
        DiscoverError: a path does not exist, is neither file nor folder, or a pattern is malformed.
    """
    files: dict[str, str] = {}
    links: list[str] = []
    for path in paths:
        name = os.fspath(path)
        if os.path.isdir(name):
            _add_folder(name, _filters(include, exclude, _prefix(name, base)), files, links)
        elif os.path.isfile(name):
            files.setdefault(os.path.realpath(name), name)
        else:
            raise DiscoverError(name, "neither file nor folder" if os.path.exists(name) else "does not exist")
    for link in sorted(links):
        target = os.path.realpath(link)
        if os.path.isfile(target):
            files.setdefault(target, link)
    return sorted(files.values())


class Searcher:
    """The files not yet found to matter. Each round hands out those that a new needle hits."""

    def __init__(self, files: Iterable[StrPath]) -> None:
        self.unreadable: list[tuple[Path, str]] = []
        self._left = [os.fspath(file) for file in files]
        self._asked: set[bytes] = set()

    def first(self) -> list[Path]:
        """Return the files that hold one of FIRST_NEEDLES, in any case, anywhere."""

        # Lower case and plain search take a tenth of what a regular expression that ignores case takes.
        def hit(data: bytes) -> bool:
            lowered = data.lower()
            for needle in FIRST_NEEDLES:  # noqa: SIM110 -- any() costs a generator for every file
                if needle in lowered:
                    return True
            return False

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

        def hit(data: bytes) -> bool:
            # Splitting into words costs as much as some 16 plain searches, which most files fail.
            if len(fresh) <= _FEW_WORDS and not any(word in data for word in fresh):
                return False
            return not fresh.isdisjoint(data.translate(_WORD_BYTES).split())

        return self._take(hit)

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
    """Return the files whose bytes hit, and those that cannot be read, with the reason."""
    hits: list[str] = []
    failed: list[tuple[str, str]] = []
    for file in files:
        try:
            if hit(_read(file)):
                hits.append(file)
        except OSError as error:
            failed.append((file, error.strerror or str(error)))
    return hits, failed


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


def _read(file: str) -> bytes:
    """Return the file's bytes; open() does the same with four more system calls."""
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        chunks = []
        while chunk := os.read(descriptor, _CHUNK):
            chunks.append(chunk)
    finally:
        os.close(descriptor)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _add_folder(folder: str, filters: tuple[Filter, Filter], files: dict[str, str], links: list[str]) -> None:
    """Sort the folder's files into `files` (by real path) and `links`."""
    listed = _git_listing(folder, filters)
    if listed is None:
        listed = list(_walk(folder, filters))
    # Links to folders are not followed, so only the folder itself has to be resolved.
    real = os.path.join(os.path.realpath(folder), "")
    shown = "" if folder in {"", "."} else os.path.join(folder, "")
    for name, is_link in listed:
        if is_link:
            links.append(shown + name)
        else:
            files.setdefault(real + name, shown + name)


def _walk(folder: str, filters: tuple[Filter, Filter]) -> Iterator[tuple[str, bool]]:
    """Yield (path below the folder, whether it is a link) of the wanted files and links."""
    wanted, excluded = filters
    folders = [""]
    while folders:
        prefix = folders.pop()
        try:
            entries = os.scandir(os.path.join(folder, prefix))
        except OSError:
            yield prefix or ".", False
            continue
        with entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in SKIPPED_FOLDERS and not excluded(name + "/"):
                        folders.append(name + "/")
                elif wanted(name) and not excluded(name):
                    is_link = entry.is_symlink()
                    if is_link or entry.is_file(follow_symlinks=False):
                        yield name, is_link


def _git_listing(folder: str, filters: tuple[Filter, Filter]) -> list[tuple[str, bool]] | None:
    """Return what `_walk` yields, but of the files that git lists; None where git has no say."""
    top = _work_tree(folder)
    if top is None:
        return None
    # Ignored but named: git would list nothing of it. The top of a work tree is never ignored.
    if top != os.path.realpath(folder) and _git(folder, "check-ignore", "-q", "--no-index", ".") is not None:
        return None
    output = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if output is None:
        return None
    wanted, excluded = filters
    listing = []
    prefix = os.path.join(folder, "")
    for name in os.fsdecode(output).split("\0"):
        if wanted(name) and not excluded(name):
            try:
                mode = os.lstat(prefix + name).st_mode
            except OSError:  # deleted, but still in the index
                continue
            if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
                listing.append((name, stat.S_ISLNK(mode)))
    return listing


def _work_tree(folder: str) -> str | None:
    """Return the nearest folder, at or above, that holds a `.git`, without asking git."""
    place = os.path.realpath(folder)
    while not os.path.lexists(os.path.join(place, ".git")):
        place, below = os.path.dirname(place), place
        if place == below:
            return None
    return place


def _git(folder: str, *arguments: str) -> bytes | None:
    """Return what git prints in the folder, or None if git is absent or fails."""
    # A repository may name any program as its file-system monitor; listing files must run none.
    command = ["git", "-C", folder, "-c", "core.fsmonitor=false", *arguments]
    environment = {key: value for key, value in os.environ.items() if key not in _GIT_PLACES}
    try:
        return _output(command, environment)
    except OSError:
        return None


def _output(command: list[str], environment: dict[str, str]) -> bytes | None:
    """Return what the command prints, or None if it fails. An OSError says that it cannot be started."""
    if sys.platform == "win32":
        import subprocess

        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        return done.stdout if done.returncode == 0 else None
    # Importing subprocess takes longer than git takes to list 2,000 files.
    reading, writing = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
    with os.fdopen(reading, "rb") as stream:
        try:
            pid = os.posix_spawnp(command[0], command, environment, file_actions=actions)
        finally:
            os.close(writing)
        output = stream.read()
    _, status = os.waitpid(pid, 0)
    return output if status == 0 else None


def _prefix(folder: str, base: StrPath | None) -> str:
    """Return the folder as seen from `base`, with a slash at its end; "" if it is not below."""
    if base is None:
        return ""
    real, above = os.path.realpath(folder), os.path.join(os.path.realpath(base), "")
    return real[len(above) :].replace(os.sep, "/") + "/" if real.startswith(above) else ""


def _filters(include: Sequence[str], exclude: Sequence[str], prefix: str) -> tuple[Filter, Filter]:
    """Return `wanted` and `excluded`, both of a path below the folder (of a folder: with a final slash)."""
    wanted = _endings(include) or _any_of([_regex(pattern, r"\Z") for pattern in include], prefix)
    hits = [_regex(pattern, r"(?:/|\Z)") for pattern in exclude]
    if prefix:
        hits = [regex for regex in hits if not _any_of([regex], "")(prefix)]
    return wanted, _any_of(hits, prefix)


def _endings(patterns: Sequence[str]) -> Filter | None:
    """Return the test for patterns that are all like `*.py`: nearly always, and ten times as fast."""
    endings = tuple(pattern[1:] for pattern in patterns)
    plain = all(
        pattern[:1] == "*" and ending and not set(ending) & set("*?[\\/")
        for pattern, ending in zip(patterns, endings, strict=True)
    )
    return (lambda name: name.endswith(endings)) if plain else None


def _any_of(regexes: Sequence[str], prefix: str) -> Filter:
    """Return the test whether one of the regular expressions hits the path, put behind `prefix`."""
    if not regexes:
        return lambda _: False
    import re

    match = re.compile("|".join(regexes), re.DOTALL).match
    return lambda name: match(prefix + name) is not None


def _regex(pattern: str, end: str) -> str:
    """Translate the pattern; `end` is what must follow it where it does not itself end in a slash."""
    import re

    body = pattern.rstrip("/")
    if not body or body.startswith("!"):
        raise DiscoverError(pattern, "a pattern must not be empty or negated")
    start = "" if "/" in body else "(?:.*/)?"
    token = r"(?:(?<=/)|^)\*\*/|/\*\*$|\*|\?|\[!?[^]]+\]|\\.|."
    regex = re.sub(token, _token_regex, body.lstrip("/"), flags=re.DOTALL)
    regex = start + regex + ("/" if pattern.endswith("/") else end)
    try:
        re.compile(regex)
    except re.error as error:
        raise DiscoverError(pattern, f"not a pattern: {error}") from None
    return regex


def _token_regex(match: re.Match[str]) -> str:
    """Translate one token of a pattern: a wildcard, a set of characters, or a character."""
    import re

    token = match[0]
    if token[0] == "[" and len(token) > 1:
        negation = "^" if token[1] == "!" else ""
        members = re.sub(r"([\\[^&~|])", r"\\\1", token[1 + len(negation) : -1])
        return f"(?!/)[{negation}{members}]"
    return {"**/": "(?:.*/)?", "/**": "/.*", "*": "[^/]*", "?": "[^/]"}.get(token) or re.escape(token[-1])
