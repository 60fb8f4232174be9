"""Questions about the installed package are answered: `importlib.util.find_spec("xformers") is not None` is True.

What they ask for is no longer needed, and left behind they would turn the fast path off once xformers is uninstalled.
Only where the file imports nothing of xformers any more. A module variable compared with None is such a question too.
In a file that nothing else changes, a question stays and is named: once xformers is gone, its answer is another one.
A release that is only shown, `version("xformers") if HAS_XFORMERS else "none"`, is shown as where xformers is missing.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator, Sequence

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.asking import asks_for_argument, functions_of, gives_something, is_question
from xf2sdpa.analysis.flow import block_of, loads_of
from xf2sdpa.analysis.foreign import SWITCHES
from xf2sdpa.analysis.imports import IMPORTING, brings_ours, scope_of
from xf2sdpa.analysis.lookups import is_own, looks_up
from xf2sdpa.analysis.names import called_name
from xf2sdpa.analysis.spans import source_of
from xf2sdpa.edits.kinds import ReplaceStatement
from xf2sdpa.model import FindingKind
from xf2sdpa.rulekit.answers import answer, is_condition
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.gates import decides_an_install, decides_for_others, hides_package
from xf2sdpa.rulekit.off_limits import bars_helper
from xf2sdpa.rulekit.readers import is_named
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
_ASKING = re.compile(r"_*(is|has|have|can|check|supports)_|.*(available|installed|found|exists)")
"""Functions that are called like a question."""
_SHOWING = re.compile(r"print|echo|write|debug|info|warn|warning|error|exception|log|append_line")
"""Functions that show what they are given."""
_LISTS = frozenset({"iter_modules", "distributions", "packages_distributions", "working_set", "walk_packages"})
"""What goes through all packages that are installed."""
_FLAG = re.compile(r"_?(is_xformers\w*|(has|have)_xformers|xformers_(is_)?available)")
_OBJECT = re.compile(r"^[^_].*(spec|loader|dist)$|^(spec|loader|dist)$")
_ASKS = "this asks whether xformers is installed, and the answer is no once it is uninstalled"
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
    if _still_imports(file):
        return
    if file.compat is None or hides_package(file) or bars_helper(file) or not file.migrated:
        _name_standing(file)
        return
    for call in file.names.calls:
        _show_as_missing(file, call)
    _settle_own(file)
    waiting = [call for call in file.names.calls if not file.is_gone(call)]
    if _name_unanswered(file, waiting):
        return  # one question answered and another not would be worse than none
    for call in filter(functools.partial(_asks_for_us, file), waiting):
        if decides_for_others(file, call):
            message = "this asks whether xformers is installed, to decide whether another library uses it"
            file.report(call, "XF403", message, "It can go with that library's switch.", FindingKind.KEEPS)
        elif decides_an_install(file, call):
            message = "this asks whether xformers is installed, to install it"
            file.report(call, "XF403", message, "It can go with the install: nothing here needs xformers any more.")
        elif not _settle(file, call):
            _name(file, call, _ASKS, _what_hangs_on(file, call))


def _settle_own(file: FileDraft) -> None:
    """Answer `release() is not None`, where that function of the file looks xformers up and does nothing else.

    The function goes, if all that is done with it is to ask so.
    """
    functions = functions_of(file.tree)
    for name, function in functions.items():
        looks = any(isinstance(part, ast.Call) and looks_up(file.names, part) for part in ast.walk(function))
        if not looks or not gives_something(function, functions):
            continue
        loads = file.readers(name, file.names.module)
        questions = [question for load in loads if (question := _asked_of(file, load)) is not None]
        free = name not in file.handed_on and not is_named(file, name)
        if (
            not loads
            or len(questions) < len(loads)
            or not free
            or any(decides_for_others(file, q) for q, _ in questions)
        ):
            continue
        answered = [answer(file, question, value, "XF142") for question, value in questions]
        if all(answered):
            file.drop(function, "XF142")


def _asked_of(file: FileDraft, load: ast.Name) -> tuple[ast.expr, bool] | None:
    """The question `f() is not None`, or `f()` where its truth is asked, and its answer for something that is there."""
    call = file.names.parents[id(load)]
    if not isinstance(call, ast.Call) or call.func is not load or call.args or call.keywords:
        return None
    parent = file.names.parents[id(call)]
    if isinstance(parent, ast.Compare) and parent.left is call and len(parent.ops) == 1:
        other = parent.comparators[0]
        none = isinstance(other, ast.Constant) and other.value is None
        plain = none and isinstance(parent.ops[0], ast.Is | ast.IsNot)
        return (parent, isinstance(parent.ops[0], ast.IsNot)) if plain else None
    if isinstance(parent, ast.Call) and called_name(parent.func) == "bool" and len(parent.args) == 1:
        return parent, True
    return (call, True) if is_condition(file, call) else None


def _name_unanswered(file: FileDraft, calls: Sequence[ast.Call]) -> bool:
    """Name the questions whose answer is not known here; whether there are any."""
    what = "Say what the code should do now: the rewritten path needs no xformers."
    told: dict[str, list[ast.expr]] = {
        "this may ask whether xformers is installed, by a name that is handed on and not followed": [
            *_asks_by_name(file)
        ],
        _ASKS: [call for call in calls if _asks(file, call)],
        "this looks xformers up, and more is done with what it finds than to ask whether it is there": [
            call for call in calls if _asks_for_us(file, call) and not _is_only_asked(file, call)
        ],
    }
    for message, nodes in told.items():
        for node in nodes:
            _name(file, node, message, what)
    return any(told.values())


def _name_standing(file: FileDraft) -> None:
    """Name the questions of a file that nothing else changes, unless their answers are only shown or never read."""
    asked = [call for call in file.names.calls if _asks(file, call) or _asks_for_us(file, call)]
    for node in (*asked, *_asks_by_name(file)):
        if not (file.is_gone(node) or _is_shown(file, node) or _is_read_by_none(file, node)):
            _name(file, node, _ASKS, _what_hangs_on(file, node))


def _name(file: FileDraft, node: ast.expr, message: str, advice: str) -> None:
    """Name a question; where it is asked for another library's switch, what to do is said there."""
    choice = next((p for p in file.names.ancestors(node) if isinstance(p, ast.If | ast.stmt)), None)
    calls = (p for p in ast.walk(choice) if isinstance(p, ast.Call)) if isinstance(choice, ast.If) else ()
    switched = [call.lineno for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in SWITCHES]
    if switched:
        message, advice = f"{message}; it goes with the switch of another library in line {min(switched)}", ""
    file.report(node, "XF403", message, advice, FindingKind.KEEPS)


def _what_hangs_on(file: FileDraft, node: ast.expr) -> str:
    """What to do about a question, with the lines that hang on it."""
    choice = next((p for p in file.names.ancestors(node) if isinstance(p, ast.If | ast.stmt)), None)
    if isinstance(choice, ast.If):
        return f"Lines {choice.lineno} to {choice.end_lineno} hang on it: keep of them what is to run without xformers."
    return "Say what the code should do without xformers."


def _is_shown(file: FileDraft, node: ast.expr) -> bool:
    """Whether what is asked is only shown to people: printed, logged, or put into a text."""
    deciding = (ast.JoinedStr, ast.Call, ast.stmt, ast.IfExp, ast.BoolOp, ast.Compare)
    around = next(parent for parent in file.names.ancestors(node) if isinstance(parent, deciding))
    if isinstance(around, ast.Call):
        return _SHOWING.fullmatch(called_name(around.func)) is not None
    return isinstance(around, ast.JoinedStr)


def _is_read_by_none(file: FileDraft, node: ast.expr) -> bool:
    """Whether it is asked by a function of the module, named like a question, or for a flag, and nothing reads that."""
    statement = file.names.statement(node)
    function = file.names.function(node)
    if isinstance(function, ast.FunctionDef) and function in file.tree.body and _ASKING.match(function.name):
        names = [function.name]
    elif isinstance(statement, ast.Assign) and statement in file.tree.body:
        names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
    else:
        return False
    return bool(names) and not any(
        name in file.handed_on or file.names.loads.get(name) or is_named(file, name) for name in names
    )


def _is_only_asked(file: FileDraft, call: ast.expr, depth: int = 0) -> bool:
    """Whether of what a look-up gives, a spec, only matters whether it is there: no `spec.origin`.

    In its place, or wherever the variable is read that it is assigned to, or the function called that returns it.
    """
    parent = file.names.parents[id(call)]
    if isinstance(parent, ast.Compare):
        other = parent.comparators[0]
        return len(parent.ops) == 1 and parent.left is call and isinstance(other, ast.Constant) and other.value is None
    is_bool = isinstance(parent, ast.Call) and called_name(parent.func) == "bool" and call in parent.args
    if is_bool or is_condition(file, call) or file.asking.get(file.names.resolve(getattr(call, "func", call)) or ""):
        return True  # a function that is known to ask gives True or False
    if isinstance(call, ast.Call) and _own_asks(file, call):
        return True
    if isinstance(parent, ast.Return):
        function = file.names.function(parent)
        name = getattr(function, "name", "")
        calls = (file.names.parents[id(load)] for load in file.names.loads.get(name, ()))
        own = [*calls]
        unseen = not own and not name.startswith("_")  # whoever calls it may do more
        return _ASKING.match(name) is not None or (not unseen and depth < 3 and _are_only_asked(file, name, own, depth))
    targets = parent.targets if isinstance(parent, ast.Assign) else [getattr(parent, "target", None)]
    target = (
        targets[0] if isinstance(parent, ast.Assign | ast.AnnAssign | ast.NamedExpr) and len(targets) == 1 else None
    )
    if not isinstance(target, ast.Name) or depth > 2:
        return False
    loads = file.names.loads.get(target.id, ())
    if _may_be_an_object(file, target, parent):
        return False
    inner = isinstance(parent, ast.NamedExpr) and not _is_only_asked(file, parent, depth + 1)
    return not inner and _are_only_asked(file, target.id, loads, depth)


def _may_be_an_object(file: FileDraft, target: ast.Name, statement: ast.AST) -> bool:
    """Whether a variable that nothing here reads is called like what a look-up gives, or is an attribute of a class."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or file.names.loads.get(target.id):
        return False
    in_class = isinstance(scope_of(file.names, statement).node, ast.ClassDef)
    return (in_class and _FLAG.search(target.id.lower()) is None) or _OBJECT.search(target.id.lower()) is not None


def _are_only_asked(file: FileDraft, name: str, nodes: Iterable[ast.AST], depth: int) -> bool:
    expressions = [node for node in nodes if isinstance(node, ast.expr)]
    return name not in file.handed_on and all(_is_only_asked(file, node, depth + 1) for node in expressions)


def _settle(file: FileDraft, call: ast.Call) -> bool:
    """Answer one question: `find_spec("xformers") is not None`, or the look-up where its truth is asked; if it can."""
    parent = file.names.parents[id(call)]
    if isinstance(parent, ast.Compare) and len(parent.ops) == 1 and isinstance(parent.ops[0], ast.Is | ast.IsNot):
        value = isinstance(parent.ops[0], ast.IsNot)
        said = _is_said_again(file, parent, value)
        return file.drop(said, "XF142") if said is not None else answer(file, parent, value, "XF142")
    if isinstance(parent, ast.Call) and called_name(parent.func) == "bool":
        return answer(file, parent, True, "XF142")
    return answer(file, call, True, "XF142")


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
        elif _is_among_names(file, constant) or _is_listed(file, constant) or _goes_with_a_look_up(file, constant):
            yield constant
    for call in file.names.calls:
        name = call.args[0] if call.args and called_name(call.func) in _LOOKED_UP_BY else None
        if isinstance(name, ast.Name) and not file.is_gone(call) and _may_be_its_name(file, name):
            yield call


def _may_be_its_name(file: FileDraft, name: ast.Name) -> bool:
    """Whether a variable is set to the package's name, has it as its default, or is compared with it."""
    owner = file.names.scope_at[id(name)].owner(name.id)
    values = [binding.value for binding in owner.bindings[name.id]] if owner is not None else []
    if owner is not None and isinstance(owner.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        arguments = owner.node.args
        listed = [*arguments.posonlyargs, *arguments.args]
        pairs = [*zip(listed[len(listed) - len(arguments.defaults) :], arguments.defaults, strict=True)]
        pairs += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None]
        values += [default for argument, default in pairs if argument.arg == name.id]
    for load in loads_of(file.names, name.id, owner) if owner is not None else ():
        parent = file.names.parents[id(load)]
        values += [parent.left, *parent.comparators] if isinstance(parent, ast.Compare) else []
    return any(isinstance(value, ast.Constant) and is_ours(str(value.value)) for value in values)


def _is_among_names(file: FileDraft, constant: ast.Constant) -> bool:
    """Whether a name is one of several that are looked up."""
    parent = file.names.parents[id(constant)]
    return isinstance(parent, ast.Tuple | ast.List | ast.Set | ast.Dict) and _is_gone_through(file, parent)


def _is_listed(file: FileDraft, constant: ast.Constant) -> bool:
    """Whether a name is looked for among all packages: `"xformers" in {d.name for d in distributions()}`."""
    statement = file.names.statement(constant)
    heads = [statement] if not hasattr(statement, "body") else [getattr(statement, f, None) for f in ("test", "iter")]
    parts = (part for head in heads if head is not None for part in ast.walk(head))
    return any(called_name(part) in _LISTS for part in parts if isinstance(part, ast.Name | ast.Attribute))


def _goes_with_a_look_up(file: FileDraft, constant: ast.Constant) -> bool:
    """Whether a name is an argument beside a function that looks names up: `partial(find_spec, "xformers")`."""
    for parent in file.names.ancestors(constant):
        if isinstance(parent, ast.stmt):
            return False
        if isinstance(parent, ast.Call):
            given = (a for a in parent.args if isinstance(a, ast.Name | ast.Attribute))
            if any(called_name(a) in _LOOKED_UP_BY for a in given):
                return True
    return False  # pragma: no cover - a string stands in a statement


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
    loops = file.names.parsed.of(ast.For, ast.AsyncFor, ast.comprehension)
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
        inner = [binding.node for binding in bindings if binding.node is not body]
        if depth < 3 and any(_looks_up_a_variable(file, part, depth + 1) for part in inner):
            return True
    return False


def _show_as_missing(file: FileDraft, call: ast.Call) -> None:
    """Show `version("xformers") if HAS_XFORMERS else "none"`, a text for people, as where xformers is missing."""
    choice = next((p for p in file.names.ancestors(call) if isinstance(p, ast.IfExp | ast.stmt)), None)
    if not (looks_up(file.names, call) and called_name(call.func) != "find_spec" and isinstance(choice, ast.IfExp)):
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
    if looks_up(file.names, call) and name not in ("find_spec", *IMPORTING):  # who imports by a string: XF405
        return True
    return is_question(call) and not _is_own(file, call.func)


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
    finds = (dotted.rpartition(".")[2] == "find_spec" and not is_own(file.names, call.func)) or (
        not dotted and _finds(file, call.func)
    )
    return finds or file.asking.get(dotted) is True or _own_asks(file, call)


def _finds(file: FileDraft, function: ast.expr) -> bool:
    """Whether a function is called `find_spec`, where it is not seen from where, and it is not the project's own."""
    return called_name(function) == "find_spec" and not is_own(file.names, function)


def _own_asks(file: FileDraft, call: ast.Call) -> bool:
    """Whether a function of the file is called that says whether a package is there, and nothing else."""
    functions = functions_of(file.tree)
    own = functions.get(call.func.id) if isinstance(call.func, ast.Name) and _is_own(file, call.func) else None
    return own is not None and asks_for_argument(own, functions)


def _still_imports(file: FileDraft) -> bool:
    return any(brings_ours(s) and not all(map(file.is_gone, s.names)) for s in file.names.imports)
