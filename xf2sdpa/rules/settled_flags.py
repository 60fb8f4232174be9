"""A flag that can only be True now needs no default above it, and what it refused goes.

Once the guard has become `FAST = True`, a `FAST = False` above it says nothing, and `if not FAST: raise ImportError(…)`
or `assert FAST, "please install xformers"` tell people to install what is not needed. A private flag that nothing
reads then goes as well. Where other code stores to the flag (a function, a test), all stays. A choice between two ways
to compute stays too: which of them somebody still wants is theirs to say.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from xf2sdpa.analysis.imports import brings_ours, is_message
from xf2sdpa.analysis.scopes import Binding
from xf2sdpa.edits.kinds import ReplaceExpression, ReplaceStatement, Unguard
from xf2sdpa.rulekit.answers import answer
from xf2sdpa.rulekit.draft import FileDraft, Request
from xf2sdpa.rulekit.readers import is_looked_up
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.TIDYING
CODES = {"XF147": "what hangs on a flag that is always True now goes"}
EXAMPLES = (
    Example(
        before="""\
import torch.nn.functional as F

_FAST = False
try:
    import xformers.ops as xops

    _FAST = True
except ImportError:
    pass


def f(q, k, v):
    if not _FAST:
        raise ImportError("please install xformers")
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v).flatten(2)
""",
        after="""\
import torch.nn.functional as F


def f(q, k, v):
    b, n, h, d = q.shape
    return F.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    ).transpose(1, 2).flatten(2)
""",
        helper=True,
    ),
)
_STORING = ("globals", "locals", "vars", "setattr", "delattr", "exec", "sys")


@dataclass
class _Flag:
    """Where the new text sets a variable of the module."""

    name: str
    texts: list[ReplaceStatement] = field(default_factory=list)
    """New texts that set it True."""
    settings: list[ast.stmt] = field(default_factory=list)
    """Statements that set it True and stay, or are said to by an answer."""
    defaults: list[ast.stmt] = field(default_factory=list)

    @property
    def line(self) -> int:
        """From where on it is True."""
        return min(s.lineno for s in (*self.settings, *(edit.node for edit in self.texts)))


def finish(file: FileDraft) -> None:
    """Tidy up behind each flag that is settled."""
    if not file.anything_gone():
        return
    module = file.names.module
    for name, bindings in list(module.bindings.items()):
        if name in file.replaced or (id(module), name) in file.names.shared:
            continue
        flag = _read(file, name, bindings)
        if flag is None or _is_stored_by_name(file, name):
            continue
        for statement in flag.defaults:
            file.drop(statement, "XF147")
        for load in file.readers(name, module):
            if _refuses(file, load):
                answer(file, load, True, "XF147")
        if name.startswith("_") and not (file.readers(name, module) or is_looked_up(file, name)):
            _drop(file, flag)


def _read(file: FileDraft, name: str, bindings: list[Binding]) -> _Flag | None:
    """How a variable is set; None if it is no flag that a rewrite has made True for good."""
    flag = _Flag(name)
    for edit in (e for e in file.edits if isinstance(e, ReplaceStatement) and e.node in file.tree.body):
        for statement in ast.parse(edit.text).body:
            if _sets(statement, name, {True}):
                flag.texts.append(edit)
            elif _binds(statement, name):
                return None
    answered = {id(e.node) for e in file.edits if isinstance(e, ReplaceExpression) and e.text == "True"}
    for binding in bindings:
        statement = file.names.statement(binding.node)
        is_answer = isinstance(statement, ast.Assign) and id(statement.value) in answered
        if is_answer or (_sets(statement, name, {True}) and _is_unguarded(file, statement)):
            flag.settings.append(statement)
        elif file.is_gone(statement):
            continue
        elif _sets(statement, name, {False, None}) and statement in file.tree.body:
            flag.defaults.append(statement)
        else:
            return None
    if not (flag.texts or flag.settings) or not all(_always(file, s) for s in flag.settings):
        return None
    lines = [load.lineno for load in file.readers(name, file.names.module)]
    early = any(flag.defaults) and (
        max(s.lineno for s in flag.defaults) >= flag.line or any(line <= flag.line for line in lines)
    )
    return None if early or _may_be_starred(file, flag) else flag


def _may_be_starred(file: FileDraft, flag: _Flag) -> bool:
    """Whether a library's star import may set a flag once more."""
    stars = (s for s in file.names.imports if isinstance(s, ast.ImportFrom) and s.names[0].name == "*")
    unknown = (s for s in stars if "." * s.level + (s.module or "") not in file.names.starred and not brings_ours(s))
    return not flag.name.startswith("_") and any(s.lineno >= flag.line for s in unknown)


def _is_stored_by_name(file: FileDraft, name: str) -> bool:
    """Whether the file may store to a variable by its name: `globals()["FAST"] = …`, `setattr(module, "FAST", …)`."""
    if not any(file.names.loads.get(word) for word in _STORING):
        return False
    said = (c.value for c in file.names.strings if isinstance(c.value, str) and not file.is_gone(c))
    given = (keyword.arg for call in file.names.calls for keyword in call.keywords)
    return name in given or any(re.search(rf"\b{re.escape(name)}\b", text) for text in said)


def _always(file: FileDraft, statement: ast.stmt) -> bool:
    """Whether a statement runs whenever the module is imported."""
    return statement in file.tree.body or _is_unguarded(file, statement)


def _is_unguarded(file: FileDraft, statement: ast.stmt) -> bool:
    """Whether a statement stands in a frame at the top of the file that goes."""
    frames = (edit.node for edit in file.edits if isinstance(edit, Unguard))
    return not file.is_gone(statement) and any(f in file.tree.body and statement in f.body for f in frames)


def _sets(statement: ast.stmt, name: str, values: set[bool | None]) -> bool:
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return False
    target, value = statement.targets[0], statement.value
    plain = isinstance(value, ast.Constant) and (value.value is None or isinstance(value.value, bool))
    return isinstance(target, ast.Name) and target.id == name and plain and value.value in values  # type: ignore[attr-defined]


def _binds(statement: ast.stmt, name: str) -> bool:
    """Whether a statement may bind a variable in some other way."""
    parts = list(ast.walk(statement))
    stored = any(isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store) and part.id == name for part in parts)
    return stored or any(name in (getattr(part, "asname", None), getattr(part, "name", None)) for part in parts)


def _refuses(file: FileDraft, load: ast.Name) -> bool:
    """Whether a reading only decides whether something is raised: `assert FAST`, `if not FAST: raise …`."""
    parent = file.names.parents[id(load)]
    if isinstance(parent, ast.Assert):
        return parent.test is load
    choice = file.names.parents[id(parent)]
    if not (isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not) and isinstance(choice, ast.If)):
        return False
    *said, last = choice.body
    return choice.test is parent and not choice.orelse and isinstance(last, ast.Raise) and all(map(is_message, said))


def _drop(file: FileDraft, flag: _Flag) -> None:
    """Drop what sets a flag, in the statements that stay and in the new text of a guard."""
    for statement in flag.settings:
        file.drop(statement, "XF147")
    for edit in flag.texts:
        request = next(request for request in file.requests if request.edit is edit)
        text = "\n".join(_without(edit.text, flag.name))
        file.requests[file.requests.index(request)] = Request(ReplaceStatement(edit.node, text), request.code)


def _without(text: str, name: str) -> Iterator[str]:
    """The lines of a text without those that set a variable, nor blank lines at its end."""
    lines = [line for line in text.splitlines() if line != f"{name} = True"]
    while lines and not lines[-1].strip():
        lines.pop()
    yield from lines
