"""Makes this process run the old, instrumented text of the program's files instead of the text on disk.

Imported modules, `python -m module` and `python script.py` all use Python's import system, the script through an entry
of `sys.path_hooks`. Apart from these hooks the process is unchanged; torch and xformers are imported only when the
program imports them.
"""

# The signatures are those of the import system, which uses paths as text.
# ruff: noqa: ARG002, PTH100, PTH120

from __future__ import annotations

import importlib.util
import linecache
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any

from xf2sdpa.verify.shadow.handover import File, Handover, Recorder

_OURS = ("xformers", "mslk")


class Process:
    """The plan of this process, and the recorder for its results."""

    def __init__(self, folder: Path) -> None:
        self.handover = Handover.read(folder)
        self.recorder = Recorder(folder)
        self.shadows = {s.site: s for file in self.handover.files.values() for s in file.shadows}

    def planned(self, path: str | None) -> File | None:
        """The planned file at a path; None if there is none."""
        return self.handover.files.get(os.path.realpath(path)) if path else None

    def code(self, path: str, *, script: bool = False) -> CodeType:
        """The old text of a file, instrumented and compiled; uninstrumented where that fails."""
        import ast  # noqa: PLC0415 - few processes need it

        from xf2sdpa.verify.shadow.instrument import Stray, instrument, start_of  # noqa: PLC0415

        file = self.handover.files[os.path.realpath(path)]
        self.recorder.write({"loaded": os.path.realpath(path)})
        if file.rewritten:  # tracebacks and `inspect` must show the text that runs
            lines = file.text.splitlines(keepends=True)
            linecache.cache[path] = (len(file.text), None, lines, path)
        try:
            tree = instrument(file.text, path, file.shadows)
        except Stray as error:
            tree = ast.parse(file.text, path)
            for shadow in file.shadows:
                self.recorder.write({"site": shadow.site, "reason": f"not instrumented: {error}"})
        if script:
            call = "__import__('xf2sdpa.verify.shadow.hook', fromlist=['as_script']).as_script(globals())"
            tree.body[start_of(tree) : start_of(tree)] = ast.parse(call).body
        return compile(tree, path, "exec", dont_inherit=True)


_process: list[Process] = []


def process() -> Process:
    """The `Process` object of this process.

    Raises:
        IndexError: the hook was not started.
    """
    return _process[0]


def start(folder: str) -> None:
    """Install the hooks.

    Args:
        folder: contains the plan, and gets the records.
    """
    _process[:] = [Process(Path(folder))]
    sys.meta_path.insert(0, _Finder())
    sys.path_hooks.insert(0, _script)
    sys.meta_path.insert(0, _OldPath())
    if sys.version_info < (3, 13) and any(file.rewritten for file in process().handover.files.values()):
        sys.excepthook = sys.__excepthook__ = _print_exception
    process().recorder.write({"process": sys.orig_argv})
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=process().recorder.unlock)


def _print_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an uncaught exception as Python does, with the lines of the old text, which ran.

    Before 3.13 the interpreter's own printer reads the lines from the file on disk; `traceback` reads them from
    `linecache`, which has the old text. `traceback` must be imported before: an import here would make the interpreter
    forget a KeyboardInterrupt, and the exit status would be 1 instead of 130.
    """
    try:
        traceback.print_exception(kind, error, trace)
    except Exception:
        _printer(kind, error, trace)


_printer = sys.__excepthook__


# -- modules ---------------------------------------------------------------------------------------


class _Loader(SourceFileLoader):
    """Loads the old text of a file, under the file's own path."""

    def get_code(self, fullname: str) -> CodeType:
        return process().code(self.path)

    def get_source(self, fullname: str) -> str:
        planned = process().planned(self.path)
        assert planned is not None
        return planned.text


class _Finder:
    """Asks the other finders, and replaces their loader by `_Loader` for planned files."""

    def __init__(self) -> None:
        files = [Path(path) for path in process().handover.files]
        self.names = {path.parent.name if path.stem == "__init__" else path.stem for path in files}

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        if name.rpartition(".")[2] not in self.names:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find is not None else None
            if spec is not None:
                return self.taken_over(name, spec)
        return None

    @staticmethod
    def taken_over(name: str, spec: ModuleSpec) -> ModuleSpec:
        file = process().planned(spec.origin)
        if file is not None and spec.origin is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(name, spec.origin)
        return spec


# -- the script ------------------------------------------------------------------------------------


def _script(entry: str) -> _ScriptFinder:
    """A path hook: for a planned script as a path entry, a finder that finds it as the module `__main__`.

    Raises:
        ImportError: the entry is not a planned script.
    """
    if not entry.endswith(".py") or process().planned(entry) is None:
        raise ImportError(entry)
    return _ScriptFinder(entry)


class _ScriptFinder:
    def __init__(self, path: str) -> None:
        self.entry = path
        self.path = os.path.abspath(path)

    def find_spec(self, name: str, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "__main__":
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=_ScriptLoader(name, self.path))

    def invalidate_caches(self) -> None:
        """Do nothing: there are no caches."""


class _ScriptLoader(_Loader):
    def get_code(self, fullname: str) -> CodeType:
        return process().code(self.path, script=True)


def as_script(names: dict[str, Any]) -> None:
    """Set a script's globals and `sys.path[0]` as for `python script.py`; called in its first line, after `runpy`."""
    names["__spec__"] = names["__package__"] = names["__cached__"] = None
    if names["__name__"] != "__main__":  # a child of multiprocessing, which reads the script again as a module
        return
    path = os.path.abspath(names["__file__"])
    if sys.path and os.path.abspath(sys.path[0]) == path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
        if getattr(sys.flags, "safe_path", False):
            del sys.path[0]


# -- xformers --------------------------------------------------------------------------------------


class _OldPath:
    """When the program first imports xformers: prepares the real one, or installs the reference in its place."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        if name.partition(".")[0] not in _OURS:
            return None
        sys.meta_path.remove(self)
        from xf2sdpa.judging import old_path  # noqa: PLC0415 - imports torch, as xformers does

        reason = process().handover.reference
        if not reason:
            old_path.preload_runtime()
            return None
        _kept.append(old_path.reference(reason).install())
        _kept[-1].__enter__()
        module = sys.modules.get(name)
        return None if module is None else _spec_of(module)


_kept: list[Any] = []
"""Contexts that must stay open until the process ends."""


def _spec_of(module: ModuleType) -> ModuleSpec:
    """A spec by which an import returns a module that already exists.

    It is also set as the module's own `__spec__`: if a name appears in `sys.modules` during the search for it, the
    import system uses the spec of that module, and would otherwise execute the package again, into one without `ops`.
    """
    spec = ModuleSpec(module.__name__, _Present(module), is_package=hasattr(module, "__path__"))
    spec.origin = getattr(module, "__file__", None)
    spec.submodule_search_locations = getattr(module, "__path__", None)
    module.__spec__ = spec
    return spec


class _Present(Loader):
    """Loads a module that already exists."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.spec = module.__spec__
        self.loader = module.__loader__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__, module.__loader__ = self.spec, self.loader
