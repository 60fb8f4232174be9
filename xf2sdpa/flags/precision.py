"""Whether a program can run products of float32 matrices, which is what TF32 is about.

float32 is what torch computes in unless it is told otherwise. So it is only excluded where the program says so of all
its models, as far as its own file shows them: each is cast to half precision, or only called under autocast, whatever
the options are. A cast under a condition, or to a dtype that an option names, excludes nothing.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from xf2sdpa.analysis.names import called_name, dotted_name
from xf2sdpa.analysis.parsed import Parsed, children, parse_once

_HALF = frozenset({"float16", "bfloat16", "half"})
_HALF_WORDS = re.compile(r"(?:fp|bf|float|bfloat)?16(?:-mixed|-true)?", re.IGNORECASE)
_CASTS = frozenset({"half", "bfloat16"})
_BACK = frozenset({"float", "double"})
_OF_MODELS = frozenset({"eval", "train", "parameters", "named_parameters", "modules"})
"""Methods by which a model is known."""
_SET_UP = (
    _OF_MODELS | _CASTS | _BACK | {"to", "cuda", "cpu", "state_dict", "load_state_dict", "requires_grad_", "compile"}
)
"""Methods of a model that compute nothing."""
_MOVES = _CASTS | {"to", "cuda"}
_NO_NAMES = re.compile(r"trainer|optim|sched|scaler|tokenizer|(?:^|\.)args$|^torch\b", re.IGNORECASE)
"""Names of what has methods of the same names, and is no model."""
_NO_MODELS = re.compile(
    r"(?:Tokenizer|Processor|Scheduler|Extractor|Config|Dataset)(?:Fast)?$|^Auto(?:Tokenizer|Config)"
)
_HANDING = frozenset({"prepare", "fit", "Trainer", "SFTTrainer"})
"""Functions that run the models given to them as the program's setting of mixed precision says."""
_SETTINGS = frozenset({"mixed_precision", "precision", "fp16", "bf16"})


@dataclass
class _Model:
    """What is seen of one model: the line, whether it is half, and whether a call of it stands outside of autocast."""

    line: int
    half: bool = False
    widened: bool = False
    calls: int = 0
    bare: bool = False

    @property
    def settled(self) -> bool:
        return not self.widened and (self.half or (self.calls > 0 and not self.bare))


@dataclass
class _Seen:
    models: dict[str, _Model] = field(default_factory=dict)
    default: int = 0
    setting: int = 0
    handed: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Precision:
    """Whether float32 products can run, and why, in words."""

    float32: bool
    why: str


@functools.cache
def precision_of(text: str) -> Precision:
    """What the file of a program says about the precision of its products."""
    try:
        file = parse_once(text)
    except (SyntaxError, ValueError, RecursionError):
        return Precision(True, "nothing seen puts all of it in half precision")
    seen = _Seen()
    names = _models(file)
    for node, sure, autocast in _nodes(file.tree):
        _look(node, seen, names, sure=sure, autocast=autocast)
    return _judged(seen)


def _judged(seen: _Seen) -> Precision:
    if seen.default:
        return Precision(False, f"the default dtype is half precision (line {seen.default})")
    for name in seen.handed if seen.setting else ():
        seen.models[name].half = True
    open_ones = sorted((model.line, name) for name, model in seen.models.items() if not model.settled)
    if open_ones:
        line, name = open_ones[0]
        return Precision(True, f"`{name}` (line {line}) is float32 unless an option or a condition says otherwise")
    if not seen.models:
        return Precision(True, "nothing seen puts all of it in half precision")
    told = ", ".join(f"`{name}` (line {model.line})" for name, model in sorted(seen.models.items()))
    return Precision(False, f"in half precision or under autocast: {told}")


def _models(file: Parsed) -> dict[str, int]:
    """The names by which a program calls its models, with the line on which each is first seen."""
    found: dict[str, int] = {}
    others: set[str] = set()
    for node in file.of(ast.Assign, ast.Call):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            others.update(dotted_name(t) for t in node.targets if _NO_NAMES.search(called_name(node.value.func)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _OF_MODELS:
            name = dotted_name(node.func.value)
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and _makes_model(node.value):
            name = dotted_name(node.targets[0])
        else:
            continue
        if name and not _NO_NAMES.search(name):
            found[name] = min(found.get(name, node.lineno), node.lineno)
    return {name: line for name, line in found.items() if name not in others}


def _makes_model(value: ast.expr) -> bool:
    """Whether a value is a model: read by `from_pretrained`, or an object of a class that is cast or moved at once."""
    chain = [*_chain(value)]
    if not chain:
        return False
    *methods, made = chain
    name = called_name(made.func)
    if name.startswith("from_") and isinstance(made.func, ast.Attribute):
        return not _NO_MODELS.search(called_name(made.func.value))
    return name[:1].isupper() and any(called_name(method.func) in _MOVES for method in methods)


def _chain(value: ast.expr) -> Iterator[ast.Call]:
    """The calls of a chain `a.b(…).c(…)`, last first."""
    while isinstance(value, ast.Call):
        yield value
        if not isinstance(value.func, ast.Attribute):
            return
        value = value.func.value


def _nodes(tree: ast.Module) -> Iterator[tuple[ast.AST, bool, bool]]:
    """Every node; whether no condition stands around it (a main guard does not count); whether autocast is on there."""
    queue: list[tuple[ast.AST, bool, bool]] = [(tree, True, False)]
    while queue:
        node, sure, autocast = queue.pop()
        yield node, sure, autocast
        if isinstance(node, ast.If | ast.IfExp | ast.BoolOp | ast.Match | ast.ExceptHandler):
            sure = sure and isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
        elif isinstance(node, ast.With | ast.AsyncWith):
            asked = [on for item in node.items if (on := _autocast(item.context_expr)) is not None]
            autocast = asked[-1] if asked else autocast
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            asked = [on for expr in node.decorator_list if (on := _autocast(expr)) is not None]
            autocast = asked[-1] if asked else False
        queue.extend((child, sure, autocast) for child in children(node))


def _autocast(expr: ast.expr) -> bool | None:
    """Whether an expression certainly turns autocast to half precision on; None if it has nothing to do with it."""
    call = expr if isinstance(expr, ast.Call) else None
    if called_name(call.func if call else expr) != "autocast":
        return None
    if call is None:
        return True
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    on, dtype = given.get("enabled"), given.get("dtype", call.args[1] if len(call.args) > 1 else None)
    is_on = on is None or (isinstance(on, ast.Constant) and on.value is True)
    return is_on and None not in given and (dtype is None or _is_half(dtype))


def _is_half(node: ast.expr) -> bool:
    """Whether an expression is a dtype of half precision, or the word for it."""
    if isinstance(node, ast.Constant):
        return node.value == 16 or (isinstance(node.value, str) and _HALF_WORDS.fullmatch(node.value) is not None)
    return called_name(node) in _HALF


def _casts(call: ast.Call) -> bool | None:
    """Whether a call casts a model to half precision; False: to another, or an unknown one; None: it casts none."""
    name = called_name(call.func)
    if name in _CASTS:
        return True
    if name in _BACK:
        return False
    dtypes = [k.value for k in call.keywords if k.arg in ("torch_dtype", "dtype")]
    if name == "to":
        dtypes += [argument for argument in call.args if _is_half(argument) or _names_a_dtype(argument)]
    return all(map(_is_half, dtypes)) if dtypes else None


def _names_a_dtype(node: ast.expr) -> bool:
    return re.search(r"dtype|float|precision", ast.unparse(node)) is not None


def _look(node: ast.AST, seen: _Seen, names: dict[str, int], *, sure: bool, autocast: bool) -> None:
    """Write down what one node says."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        name = dotted_name(node.targets[0])
        if name in names:
            _cast(seen, names, name, node.value, sure=sure)
    elif isinstance(node, ast.Call):
        _look_at_call(node, seen, names, sure=sure, autocast=autocast)


def _look_at_call(node: ast.Call, seen: _Seen, names: dict[str, int], *, sure: bool, autocast: bool) -> None:
    called = called_name(node.func)
    if called in ("set_default_dtype", "set_default_tensor_type") and node.args and sure:
        value = node.args[0]
        seen.default = node.lineno if _is_half(value) or "Half" in called_name(value) else seen.default
    if sure and any(k.arg in _SETTINGS and (_is_half(k.value) or _is_true(k.value)) for k in node.keywords):
        seen.setting = seen.setting or node.lineno
    for argument in (*node.args, *(k.value for k in node.keywords)) if called in _HANDING else ():
        if dotted_name(argument) in names:
            _model(seen, names, dotted_name(argument))
            seen.handed.add(dotted_name(argument))
    receiver = dotted_name(node.func.value) if isinstance(node.func, ast.Attribute) else ""
    if receiver in names:
        _cast(seen, names, receiver, node, sure=sure)
    whole = dotted_name(node.func)
    used = whole if whole in names else receiver
    if used in names and (used == whole or called not in _SET_UP):
        model = _model(seen, names, used)
        model.calls += 1
        model.bare |= not autocast


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _cast(seen: _Seen, names: dict[str, int], name: str, value: ast.expr, *, sure: bool) -> None:
    """Write down how a value, or a method called on a model, casts it; of a chain, the last cast counts."""
    model = _model(seen, names, name)
    for call in _chain(value):
        half = _casts(call)
        if half is not None:
            model.half |= half and sure
            model.widened |= not half
            return


def _model(seen: _Seen, names: dict[str, int], name: str) -> _Model:
    return seen.models.setdefault(name, _Model(names[name]))
