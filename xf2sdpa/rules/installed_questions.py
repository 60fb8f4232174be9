"""Questions about the installed package are answered: `importlib.util.find_spec("xformers") is not None` is True.

What they ask for is no longer needed, and left behind they would turn the fast path off once xformers is uninstalled.
Only where the file imports nothing of xformers any more. A module variable compared with None is such a question too.
A release that is only shown, `version("xformers") if HAS_XFORMERS else "none"`, is shown as where xformers is missing.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Sequence

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.asking import QUESTION, asks_for_argument, functions_of
from xf2sdpa.analysis.flow import block_of
from xf2sdpa.analysis.imports import is_lookup
from xf2sdpa.analysis.names import called_name
from xf2sdpa.analysis.spans import source_of
from xf2sdpa.edits.kinds import ReplaceStatement
from xf2sdpa.model import FindingKind
from xf2sdpa.rulekit.answers import answer
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.gates import decides_for_others
from xf2sdpa.rulekit.off_limits import bars_helper
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.LEFTOVERS
CODES = {
    "XF142": "a question whether xformers is installed is answered with True",
    "XF403": "the code still asks whether xformers is installed",
}
_ASKED_BY_NAME = re.compile(
    r"_?(has|have|is|check)?_?(module|package|pkg|lib|library|dependency)?_?(is_)?(available|installed|importable)"
    r"|_?(has|have)_?(module|package|pkg|lib|library|dependency)?"
)
"""Functions of other files that are given the name of a package and say whether it is there."""
_LOOKED_UP_BY = frozenset(
    {"find_spec", "find_loader", "import_module", "__import__", "version", "distribution", "get_distribution"}
)
_FLAG = re.compile(r"_?(is_xformers\w*|(has|have)_xformers|xformers_(is_)?available)")
EXAMPLES = (
    Example(
        before="""\
import importlib.util

import xformers.ops as xops

FAST = importlib.util.find_spec("xformers") is not None


def attend(q, k, v, bias):
    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)
""",
        after="""\
from _attention_compat import memory_efficient_attention

FAST = True


def attend(q, k, v, bias):
    return memory_efficient_attention(q, k, v, attn_bias=bias)
""",
        helper=True,
    ),
)


def finish(file: FileDraft) -> None:
    """Answer what is asked, once no import of ours is left."""
    if file.compat is None or bars_helper(file) or not (file.migrated or file.compat_names) or _still_imports(file):
        return
    for call in file.names.calls:
        _show_as_missing(file, call)
    waiting = [call for call in file.names.calls if not file.is_gone(call)]
    if _name_unanswered(file, waiting):
        return  # one question answered and another not would be worse than none
    for call in filter(functools.partial(_asks_for_us, file), waiting):
        if decides_for_others(file, call):
            message = "this asks whether xformers is installed, to decide whether another library uses it"
            file.report(call, "XF403", message, "It can go with that library's switch.", FindingKind.KEEPS)
        else:
            _settle(file, call)


def _name_unanswered(file: FileDraft, calls: Sequence[ast.Call]) -> bool:
    """Name the questions whose answer is not known here; whether there are any."""
    told: dict[str, list[ast.expr]] = {
        "this may ask whether xformers is installed, by a name that is handed on and not followed": [
            *_asks_by_name(file)
        ],
        "this asks whether xformers is installed, and the answer is no once it is uninstalled": [
            call for call in calls if _asks(file, call)
        ],
    }
    for message, nodes in told.items():
        for node in nodes:
            advice = "Say what the code should do now: the rewritten path needs no xformers."
            file.report(node, "XF403", message, advice, FindingKind.KEEPS)
    return any(told.values())


def _settle(file: FileDraft, call: ast.Call) -> None:
    """Answer one question: `find_spec("xformers") is not None`, or the look-up where its truth is asked."""
    parent = file.names.parents[id(call)]
    if isinstance(parent, ast.Compare) and len(parent.ops) == 1 and isinstance(parent.ops[0], ast.Is | ast.IsNot):
        value = isinstance(parent.ops[0], ast.IsNot)
        said = _is_said_again(file, parent, value)
        if said is not None:
            file.drop(said, "XF142")
        else:
            answer(file, parent, value, "XF142")
    elif not isinstance(parent, ast.Attribute):
        answer(file, call, True, "XF142")


def _is_said_again(file: FileDraft, question: ast.expr, answer: bool) -> ast.stmt | None:
    """`FLAG = find_spec(…) is not None`, where the guard behind it has become `FLAG = True`."""
    statement = file.names.parents[id(question)]
    if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1 and answer):
        return None
    block = block_of(file.names, statement)
    behind = next(iter(block[block.index(statement) + 1 :]), None)
    text = next((e.text for e in file.edits if isinstance(e, ReplaceStatement) and e.node is behind), "")
    said = f"{ast.unparse(statement.targets[0])} = True" in text.splitlines()
    return statement if said else None


def _asks_by_name(file: FileDraft) -> Iterator[ast.expr]:
    """Where "xformers" goes to a look-up by way of a function or a loop: `has("xformers")`, `for n in NAMES`."""
    for constant in file.names.strings:
        if not is_ours(str(constant.value)) or re.search(r"[^\w.]", str(constant.value)) or file.is_gone(constant):
            continue
        parent = file.names.parents[id(constant)]
        if isinstance(parent, ast.Call) and constant in parent.args and _hands_on(file, parent):
            yield parent
        elif isinstance(parent, ast.Tuple | ast.List | ast.Set | ast.Dict) and _is_gone_through(file, parent):
            yield constant


def _hands_on(file: FileDraft, call: ast.Call) -> bool:
    """Whether a function that is given a package's name asks for it, by what it is called or by what it does."""
    if _asks_for_us(file, call):
        return False  # answered, not handed on
    if file.names.resolve(call.func) in file.asking:
        return True
    name = called_name(call.func)
    owner = file.names.module.bindings.get(name, ())
    bodies = [b.node for b in owner if isinstance(b.node, ast.FunctionDef | ast.ClassDef)]
    asks = any(_looks_up_a_variable(file, body) for body in bodies)
    return asks or (not bodies and _ASKED_BY_NAME.fullmatch(name) is not None)


def _is_gone_through(file: FileDraft, names: ast.expr) -> bool:
    """Whether a loop goes through a collection, or through the variable that it is, and looks each name up."""
    sources, parent = {id(names)}, file.names.parents[id(names)]
    if isinstance(parent, ast.Assign | ast.AnnAssign):
        targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
        named = {target.id for target in targets if isinstance(target, ast.Name)}
        sources |= {id(load) for name in named for load in file.names.loads.get(name, ())}
    loops = (node for node in ast.walk(file.tree) if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension))
    through = (loop for loop in loops if any(id(part) in sources for part in ast.walk(loop.iter)))
    around = (file.names.parents[id(loop)] if isinstance(loop, ast.comprehension) else loop for loop in through)
    return any(_looks_up_a_variable(file, body) for body in around)


def _looks_up_a_variable(file: FileDraft, body: ast.AST, depth: int = 0) -> bool:
    """Whether something asks for a package whose name it does not write out, itself or by a function of the file."""
    for call in (node for node in ast.walk(body) if isinstance(node, ast.Call) and node.args):
        if isinstance(call.args[0], ast.Constant):
            continue
        if called_name(call.func) in _LOOKED_UP_BY:
            return True
        bindings = file.names.module.bindings.get(called_name(call.func), ())
        inner = [b.node for b in bindings if isinstance(b.node, ast.FunctionDef) and b.node is not body]
        if depth < 3 and any(_looks_up_a_variable(file, function, depth + 1) for function in inner):
            return True
    return False


def _show_as_missing(file: FileDraft, call: ast.Call) -> None:
    """Show `version("xformers") if HAS_XFORMERS else "none"`, a text for people, as where xformers is missing."""
    choice = next((p for p in file.names.ancestors(call) if isinstance(p, ast.IfExp | ast.stmt)), None)
    if not (is_lookup(call) and called_name(call.func) != "find_spec" and isinstance(choice, ast.IfExp)):
        return
    test = choice.test.func if isinstance(choice.test, ast.Call) else choice.test
    instead = choice.orelse.value if isinstance(choice.orelse, ast.Constant) else None
    statement = file.names.statement(choice)
    if not (isinstance(instead, str) and instead and _FLAG.fullmatch(called_name(test).lower())):
        return  # what is no text may be asked for
    before, part = source_of(statement, file.lines), source_of(choice, file.lines)
    if file.is_gone(call) or not isinstance(statement, ast.Return | ast.Expr) or before.count(part) != 1:
        return
    if file.ask(ReplaceStatement(statement, before.replace(part, source_of(choice.orelse, file.lines))), "XF142"):
        file.take_away(choice)


def _asks(file: FileDraft, call: ast.Call) -> bool:
    """A question that cannot be answered here: `is_xformers_available()` of another file, `version("xformers")`."""
    name = called_name(call.func)
    if name != "find_spec" and is_lookup(call):
        return True
    return QUESTION.fullmatch(name) is not None and not _is_own(file, call.func)


def _is_own(file: FileDraft, function: ast.expr) -> bool:
    """Whether a function of this file is called: what it asks is answered in its body."""
    owner = file.names.scope_at[id(function)].owner(function.id) if isinstance(function, ast.Name) else None
    bindings = owner.bindings[function.id] if owner is not None and isinstance(function, ast.Name) else []
    return bool(bindings) and all(isinstance(binding.node, ast.FunctionDef) for binding in bindings)


def _asks_for_us(file: FileDraft, call: ast.Call) -> bool:
    """`find_spec("xformers")`, of a submodule too, and functions of the project that do no more than that."""
    first = call.args[0] if len(call.args) == 1 and not call.keywords else None
    if not (isinstance(first, ast.Constant) and isinstance(first.value, str) and is_ours(first.value)):
        return False
    dotted = file.names.resolve(call.func) or ""
    return dotted.rpartition(".")[2] == "find_spec" or file.asking.get(dotted) is True or _own_asks(file, call)


def _own_asks(file: FileDraft, call: ast.Call) -> bool:
    """Whether a function of the file is called that says whether a package is there, and nothing else."""
    functions = functions_of(file.tree)
    own = functions.get(call.func.id) if isinstance(call.func, ast.Name) and _is_own(file, call.func) else None
    return own is not None and asks_for_argument(own, functions)


def _still_imports(file: FileDraft) -> bool:
    statements = (s for s in file.names.imports if not all(map(file.is_gone, s.names)))
    return any(is_ours(getattr(s, "module", None) or s.names[0].name) for s in statements)
