"""Whether a file is an entry point: a program that a user starts to train or run a model.

Judged by the file: a main guard, the name `__main__.py`, or top-level code that does the work of a program.
Tests, setup files, documentation, benchmarks and converters do not count.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath

from xf2sdpa.analysis.conditions import is_main_guard
from xf2sdpa.analysis.names import called_name
from xf2sdpa.analysis.parsed import children

_FOLDERS = re.compile(r"tests?(?:_\w+)?|(?:\w+_)?tests|testing|docs?|benchmarks?|converters", re.IGNORECASE)
_LIBRARY_FOLDERS = frozenset(
    ["models", "model", "modeling", "modules", "layers", "nets", "networks", "backbone", "backbones"]
)
"""Folders of parts of models: a main guard there only tries the part out."""
_NO_PROGRAMS = re.compile(
    r"setup|conftest|noxfile|fabfile|versioneer|hubconf|__init__|test_\w*|\w*_tests?|bench(?:mark)?(?:_\w*)?|\w*_bench(?:mark)?",
    re.IGNORECASE,
)
_CONVERTERS = re.compile(
    r"(?:^|[_-])(?:convert\w*|conversion|export\w*|merge\w*|extract\w*|resize\w*|prune\w*|quanti[sz]e\w*|consolidate|transform|metadata|checkpoints?"
    r"|(?:to|2)_(?:diffusers|hf|onnx|ckpt|safetensors|trt))(?:[_-]|$)",
    re.IGNORECASE,
)
"""Names of programs that change weights or data and save them, where flags that change rounding are not wanted."""
_TEST_CODE = re.compile(r"^\s*(?:import|from)[ \t]+(?:pytest|unittest)\b|^[ \t]*def test_", re.MULTILINE)
_VERBS = (
    "main|train|training|run|cli|app|launch|eval|evaluate|infer|inference|sample|generate|predict|demo|fit|finetune"
)
_OTHER_FRAMEWORK = re.compile(r"^(?:import|from)[ \t]+(?:jax|flax)\b", re.MULTILINE)
_STARTERS = re.compile(rf"_?(?:{_VERBS})(?:_\w+)?")
"""Usual names of a program's main function."""
_PROGRAM_FILES = re.compile(rf"(?:\w+[_-])?(?:{_VERBS})(?:[_-](?!utils?$|helpers?$|lib$|config$)\w+)?")
"""Usual names of a program's file, for files that others import as well."""
_LIKELY = re.compile(r"(?:train|training|main|fine[_-]?tune|finetuning|inference|infer|demo|app)(?:[^a-z]\w*)?")
"""What the program is mostly called that a project is there for."""
_WORK = frozenset(
    [
        "parse_args",
        "parse_known_args",
        "backward",
        "step",
        "eval",
        "train",
        "cuda",
        "fit",
        "generate",
        "from_pretrained",
        "load_state_dict",
        "launch",
        "Fire",
        "inference_mode",
        "no_grad",
        "autocast",
        "HfArgumentParser",
        "ArgumentParser",
    ]
)
"""Calls that programs make, but not modules while they are imported."""
_PARSERS = frozenset(
    ["parse_args", "parse_known_args", "Fire", "HfArgumentParser", "ArgumentParser", "CLI", "tyro", "from_cli"]
)
_REAL_WORK = frozenset({"backward", "step", "from_pretrained", "load_state_dict"}) | _PARSERS
"""Calls that programs make, but not modules that only try themselves out."""
_MADE_UP = frozenset({"rand", "randn", "zeros", "ones", "empty", "randint"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def is_other(path: str, root: str, text: str) -> bool:
    """Whether a file is not a program that runs a torch model, by its folder, name or imports: a test, a converter, …

    Args:
        path: the file.
        root: the project's folder; folders above it do not count.
        text: the file's text, which distinguishes an evaluation script `test.py` from tests.
    """
    place = PurePath(path)
    folders = place.parent.relative_to(root).parts if place.is_relative_to(root) else ()
    if any(_FOLDERS.fullmatch(folder) for folder in folders) or place.suffix not in (".py", ".ipynb"):
        return True
    if ("jax" in text or "flax" in text) and _OTHER_FRAMEWORK.search(text):
        return True
    if place.stem.lower() in ("test", "tests"):
        return _TEST_CODE.search(text) is not None
    return bool(_NO_PROGRAMS.fullmatch(place.stem) or _CONVERTERS.search(place.stem))


def is_named_as_program(path: str) -> bool:
    """Whether a file is named like a program: `train.py`, `run_inference.py`."""
    return _PROGRAM_FILES.fullmatch(PurePath(path).stem.lower()) is not None


def likeliest_first(paths: Iterable[str]) -> list[str]:
    """Programs of a project by their paths below its root, those first that its users most likely start."""

    def rank(path: str) -> tuple[bool, int, str]:
        place = PurePath(path)
        return _LIKELY.fullmatch(place.stem.lower().strip("_")) is None, len(place.parts), path

    return sorted(paths, key=rank)


def might_run(text: str) -> bool:
    """Whether a text may be a program, by a quick search; it spares parsing nearly all modules of a library."""
    return (
        "__main__" in text or re.search(r"^(?:[A-Za-z_][\w.]*\(|(?:for|while|with)\b)", text, re.MULTILINE) is not None
    )


def kind_of(tree: ast.Module, path: str, *, is_imported: bool) -> str:
    """What makes a file a program, in words; empty if it is not one.

    Args:
        tree: the file.
        path: the file's path from the project's folder.
        is_imported: whether other files import it, so that it is part of a library as well.
    """
    place = PurePath(path)
    if place.name == "__main__.py":
        return "is run with python -m"
    guards = [statement for statement in tree.body if is_main_guard(statement)]
    if guards:
        is_part = is_imported or any(folder in _LIBRARY_FOLDERS for folder in place.parent.parts)
        if is_part and not is_named_as_program(path):
            return ""
        inside = [statement for guard in guards if isinstance(guard, ast.If) for statement in guard.body]
        return "" if _tries_itself(tree, inside) else "has a main guard"
    if is_imported or not _starts(tree, tree.body):
        return ""
    return "is a notebook" if place.suffix == ".ipynb" else "is a script"


def _starts(tree: ast.Module, body: Sequence[ast.stmt]) -> bool:
    """Whether these statements do a program's work, or call a function of this file that is named like a program."""
    own = {node.name for node in tree.body if isinstance(node, _FUNCTIONS)}
    return any(name in _WORK or (name in own and _STARTERS.fullmatch(name)) for name in _called(body))


def _tries_itself(tree: ast.Module, guarded: Sequence[ast.stmt]) -> bool:
    """Whether a module with classes only tries them out on made-up tensors when it is run."""
    called = set(_called(guarded))
    local = {node.name: node for node in tree.body if isinstance(node, _FUNCTIONS)}
    reached = called.union(*(_called(local[name].body) for name in called if name in local))
    has_class = any(isinstance(node, ast.ClassDef) for node in tree.body)
    return has_class and not reached & _REAL_WORK and bool(reached & _MADE_UP)


def _called(body: Sequence[ast.stmt]) -> Iterator[str]:
    """The names of all functions that statements call, except in functions and classes that they define."""
    queue: list[ast.AST] = list(body)
    while queue:
        node = queue.pop()
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Call):
            yield called_name(node.func)
        queue.extend(children(node))
