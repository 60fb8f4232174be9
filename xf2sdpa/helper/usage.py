"""What a project's files show that a copy of the helper must hold, besides the names that they import.

A method is kept if its name stands behind a dot anywhere in the project, be it in a comment. The code for
tensor masks is kept unless each call of the operator shows that it passes none. The code for `GROUPS` only saves a
copy: without it five-dimensional inputs work as well.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from xf2sdpa.analysis.api import ATTENTION, is_mask_class
from xf2sdpa.analysis.parsed import Parsed, parse_once
from xf2sdpa.files.listing import list_files
from xf2sdpa.files.words import stands_in
from xf2sdpa.helper.pruning import GROUPS, TENSORS, Uses, methods
from xf2sdpa.helper.text import FILE_NAME, MODULE_NAME, exported
from xf2sdpa.project.files import Project

_OPERATOR = re.compile(r"\bmemory_efficient_attention(?:_forward(?:_requires_grad)?)?\b")
_SIZE = r"(?:[^()\[\],]|\((?:[^()]|\([^()]*\))*\)|\[[^\[\]]*\])+"
_SHARED = {
    "expand": re.compile(rf"expand(_as)?\((\s*\*|{_SIZE}(,{_SIZE}){{4}})"),
    "num_key_value": re.compile(r"\bnum_key_value"),
    "kv_heads": re.compile(r"\bn?_?kv_heads"),
    **{word: re.compile(word) for word in ("broadcast_to", "multi_query", "BMGHK")},
}
"""What shared heads are spelled with, each behind a word that is found sooner.

They count only near the operator: models with such names stand beside others. Without what is there for shared heads a
copy computes the same, on key heads that it repeats.
"""
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_MAKERS = ("from_seqlens", "make_causal", "make_local_attention")
"""What methods begin with that return masks of the helper's classes."""
_BIAS = 3
"""The position of `attn_bias`."""


_STILL_THEIRS = re.compile(
    r"^\s*(?:from|import)\s+(?:xformers\.ops(?!\s+import\s+cross_entropy[ \t]*(?:#.*)?$)|mslk\.attention|"
    r"(?:xformers|mslk)\s+import\b)",
    re.MULTILINE,
)
"""An import of the real operators and masks, so that such masks may be handed to a copy's operator.

Not of `cross_entropy` alone, which takes no masks.
"""


def uses_of(project: Project) -> Uses:
    """What the files of a project use, those among them that the run does not look at, its copies apart.

    Xformers' operators get none of a copy's masks (`project/own_masks`), so they call nothing of them. Words are names
    of the API too: one that a copy holds, and that no file spells which imports a helper, is not used.
    """
    found: set[str] = set()
    by_file = dict(_texts(project))
    texts = list(by_file.values())
    near = _near(project, by_file)
    starred = any(MODULE_NAME in text and re.search(rf"\b{MODULE_NAME}\s+import\s*\*", text) for text in texts)
    for file, text in by_file.items():
        found.update(_called(methods() - found, text))
        found.update(_spelled(exported() - found, text) if starred or MODULE_NAME in text else ())
        if file in near and any(word in text and shared.search(text) for word, shared in _SHARED.items()):
            found.add(GROUPS)
        named = TENSORS not in found and ATTENTION in text and _OPERATOR.search(text)
        if named and _may_pass_tensors(text):  # handed on, it may be, too
            found.add(TENSORS)
    theirs = [text for text in texts if ("xformers" in text or "mslk" in text) and _STILL_THEIRS.search(text)]
    masks = frozenset(filter(is_mask_class, exported()))
    made = frozenset(name for text in theirs for name in _spelled(masks, text))
    return Uses(frozenset(found), masks=made)


def _spelled(names: Iterable[str], text: str) -> Iterator[str]:
    """Those of some names that stand in a text as words."""
    return (name for name in names if stands_in(name, text))


def _called(names: Iterable[str], text: str) -> Iterator[str]:
    """Those of some methods that a text may read of an object: `mask.split`, `getattr(mask, "split")`."""
    return (name for name in names if name in text and re.search(rf"""(?:\.\s*|["']){name}\b""", text))


def _near(project: Project, by_file: Mapping[str, str]) -> set[str]:
    """The files that import a helper or speak of the operator, those that they import, and those that import them."""
    users = {file for file, text in by_file.items() if MODULE_NAME in text or _OPERATOR.search(text)}
    edges = project.graph.edges
    importing = {file for file, targets in edges.items() if targets & users}
    return users.union(importing, *(edges.get(file, ()) for file in users))


def _texts(project: Project) -> Iterator[tuple[str, str]]:
    """All Python files and notebooks below the project's folder with their texts, the run's own in their new form."""
    beyond = project.lacking(list_files([project.root], include=("*.py", "*.pyi", "*.ipynb")))
    for whole in (project, Project(beyond)):
        yield from ((file, text) for file, text in whole.texts.items() if Path(file).name != FILE_NAME)


def _may_pass_tensors(text: str) -> bool:
    """Whether the operator may be given a tensor as its mask, as far as a file shows."""
    try:
        file = parse_once(text)
    except (SyntaxError, ValueError, RecursionError):
        return True
    called = {id(call.func): call for call in file.of(ast.Call)}
    for use in _uses(file):
        home = next((above for above in file.around(use) if isinstance(above, _FUNCTIONS)), None)
        if id(use) not in called or _passes_one(called[id(use)], home):
            return True
    return False


def _uses(file: Parsed) -> Iterator[ast.expr]:
    """Where the operator is named, by whatever name an import gives it."""
    renamed = {
        a.asname for node in file.of(ast.ImportFrom) for a in node.names if _OPERATOR.fullmatch(a.name) and a.asname
    }
    for node in file.of(ast.Attribute, ast.Name):
        name = node.attr if isinstance(node, ast.Attribute) else node.id
        if _OPERATOR.fullmatch(name) or name in renamed:
            yield node


def _passes_one(call: ast.Call, around: ast.AST | None) -> bool:
    if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        return True
    given = [k.value for k in call.keywords if k.arg == "attn_bias"] + call.args[_BIAS : _BIAS + 1]
    return any(not _is_none_or_object(value, around) for value in given)


def _is_none_or_object(value: ast.expr, around: ast.AST | None) -> bool:
    """Whether a mask is None, an object of the helper's classes made there, or a choice between these.

    A variable is, if all that the function around the call does to it is to assign such values.
    """
    if isinstance(value, ast.IfExp):
        return _is_none_or_object(value.body, around) and _is_none_or_object(value.orelse, around)
    if isinstance(value, ast.Name) and around is not None:
        return _is_assigned_only(value.id, around)
    return _is_made(value) or (isinstance(value, ast.Constant) and value.value is None)


def _is_assigned_only(name: str, around: ast.AST) -> bool:
    named = (node for node in ast.walk(around) if isinstance(node, ast.Name) and node.id == name)
    bound = [node for node in named if not isinstance(node.ctx, ast.Load)]
    made = {
        id(node.targets[0]): node.value
        for node in ast.walk(around)
        if isinstance(node, ast.Assign) and len(node.targets) == 1
    }
    is_parameter = any(isinstance(node, ast.arg) and node.arg == name for node in ast.walk(around))
    plain = all(id(n) in made and _is_none_or_object(made[id(n)], None) for n in bound)
    return bool(bound) and plain and not is_parameter


def _is_made(value: ast.expr) -> bool:
    """`BlockDiagonalMask.from_seqlens(…).make_causal()`: a mask class of the helper is called, or a maker of it."""
    if not isinstance(value, ast.Call):
        return False
    node: ast.expr = value
    while isinstance(node, ast.Call | ast.Attribute):
        name = node.attr if isinstance(node, ast.Attribute) else ""
        if name in exported() and name.endswith("Mask"):
            return True
        if isinstance(node, ast.Attribute) and not node.attr.startswith(_MAKERS):
            return False
        node = node.func if isinstance(node, ast.Call) else node.value
    return isinstance(node, ast.Name) and node.id in exported() and node.id.endswith("Mask")
