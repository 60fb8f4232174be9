"""The whole tree that some paths belong to, for what only the whole tree can say.

Its files are git's, or all that a walk finds, whatever a run was told to leave out. What cannot hold words (pictures,
weights, archives) and what is too large to be text that somebody wrote is passed over before it is opened.
"""
# No pathlib: a tree may have tens of thousands of files.
# ruff: noqa: PTH111, PTH112, PTH118, PTH120, PTH206

from __future__ import annotations

import os

from xf2sdpa.files.git import work_tree
from xf2sdpa.files.listing import list_files

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xf2sdpa.files.patterns import StrPath

LARGEST = 4 << 20
"""The size of the largest file that is looked at, notebooks aside, whose pictures are inside them."""
LARGEST_NOTEBOOK = 64 << 20
_MARKS = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "environment.yml", "environment.yaml")
_NO_TEXT = frozenset(
    [
        *(".7z", ".a", ".avi", ".avif", ".bin", ".bmp", ".bz2", ".ckpt", ".class", ".dll", ".dylib"),
        *(".eot", ".exe", ".flac", ".gguf", ".gif", ".glb", ".gz", ".h5", ".ico", ".icns", ".jar"),
        *(".jpeg", ".jpg", ".lib", ".mkv", ".mov", ".mp3", ".mp4", ".npy", ".npz", ".o", ".obj"),
        *(".ogg", ".onnx", ".otf", ".parquet", ".pb", ".pdf", ".pickle", ".pkl", ".ply", ".png", ".psd"),
        *(".pt", ".pth", ".pyc", ".pyd", ".rar", ".safetensors", ".so", ".tar", ".tflite", ".tga", ".tif"),
        *(".tiff", ".ttf", ".wav", ".webm", ".webp", ".whl", ".woff", ".woff2", ".xz", ".zip", ".zst"),
    ]
)


def roots_of(paths: Iterable[StrPath]) -> list[str]:
    """The folders that the trees of some paths begin in, none inside another.

    A tree begins at the top of the git work tree; elsewhere at the nearest folder, at or above, that says what a
    project requires; where none does, at the folder itself.
    """
    found = {_root_of(os.path.realpath(path)) for path in paths}
    return sorted(root for root in found if not any(_holds(other, root) for other in found - {root}))


def files_of(roots: Iterable[str]) -> list[str]:
    """The files of some trees that may hold words, those of repositories inside too, `spelled` as a person would.

    Raises:
        DiscoverError: a folder is not there any more.
    """
    shown = [spelled(root) for root in roots]
    found = from_here(list_files(shown, include=("*",), inside=True), shown)
    return [file for file in found if _may_hold_words(file)]


def spelled(folder: str) -> str:
    """A folder as a person here would type it: from the current one, unless the two have no folder in common."""
    try:
        apart = os.path.dirname(shared := os.path.commonpath([os.path.realpath(os.curdir), folder])) == shared
    except ValueError:  # on two drives
        return folder
    return folder if apart else os.path.relpath(folder)


def from_here(files: Iterable[str], roots: Iterable[str]) -> list[str]:
    """Files as a person here would type them: in `src` it is `model.py`, not `../src/model.py`.

    Args:
        files: as listed below the roots.
        roots: folders, none inside another, spelled from the current one.
    """
    up = os.path.join(os.pardir, "")
    above = next((root for root in (os.path.join(root, "") for root in roots) if not root.replace(up, "")), "")
    if not above:
        return list(files)
    inner = os.path.realpath(os.curdir).split(os.sep)[-above.count(up) :]
    # Cut as text, the longest first: `relpath` for each of the 50,000 files that a tree may have takes seconds.
    cuts = [(os.path.join(above, *inner[:n], ""), up * (len(inner) - n)) for n in range(len(inner), 0, -1)]
    return [next((up_to + file[len(cut) :] for cut, up_to in cuts if file.startswith(cut)), file) for file in files]


def _root_of(path: str) -> str:
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    top = work_tree(folder)
    if top is not None:
        return top
    above, home = folder, os.path.realpath(os.path.expanduser("~"))
    while not any(os.path.lexists(os.path.join(above, mark)) for mark in _MARKS):
        above, below = os.path.dirname(above), above
        if above in (below, home):  # a file that lies in there is of no project
            return folder
    return above


def _holds(folder: str, other: str) -> bool:
    return other.startswith(os.path.join(folder, ""))


def _may_hold_words(file: str) -> bool:
    ending = file[file.rfind(".") :].lower()
    if ending in (".py", ".pyi"):
        return True  # most files, and never large: asking their size would take as long as listing them
    if ending in _NO_TEXT:
        return False
    try:
        size = os.lstat(file).st_size
    except OSError:
        return True  # for the search to report
    return size <= (LARGEST_NOTEBOOK if ending == ".ipynb" else LARGEST)
