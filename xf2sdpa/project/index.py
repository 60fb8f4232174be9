"""The files of a project by what stands in them: parsed only where a name is asked for that they hold.

A name that is not written in a file cannot be used there, except by a look-up under a computed name, which is looked
for too. So each question costs a search of the texts and the parse of those files that hold the name.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from xf2sdpa.analysis.layers import ClassAttributes
from xf2sdpa.analysis.names import Names, called_name
from xf2sdpa.analysis.others import Others
from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.files.errors import DiscoverError
from xf2sdpa.files.listing import list_files
from xf2sdpa.files.notebook import is_notebook
from xf2sdpa.files.reading import read_regular
from xf2sdpa.project.files import Project
from xf2sdpa.project.notebook_words import words_of
from xf2sdpa.project.strings import RUNS_CODE, names_it

MOST_FILES = 400
"""As many files are parsed for the questions of a run; beyond them nothing is known."""
_OTHER_FILES = (
    *("*.yaml", "*.yml", "*.json", "*.json5", "*.jsonnet", "*.libsonnet", "*.toml", "*.cfg", "*.conf", "*.ini"),
    *("*.gin", "*.txt", "*.sh", "*.j2", "*.ipynb"),
)
"""Files that may name a class or function which a program then looks up."""
_LARGEST = 1_000_000
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_LOOK_UPS = frozenset({"getattr", "attrgetter", "methodcaller", "import_string", "locate"})
_LOADERS = frozenset(
    {"torch.load", "pickle.load", "pickle.loads", "torch.jit.load", "joblib.load", "dill.load", "dill.loads",
     "cloudpickle.load", "cloudpickle.loads", "torch.package.load"}
)  # fmt: skip
_LOADED = re.compile(
    r"\b(?:torch|pickle|jit|joblib|dill|cloudpickle)\.loads?\(|"
    r"\bfrom +(?:torch|pickle|torch\.jit|joblib|dill|cloudpickle) +import\b[^\n]*\bloads?\b|"
    r"\bimport +(?:torch|pickle|joblib|dill|cloudpickle) +as\b"
)
_NAMESPACES = frozenset({"globals", "vars", "locals"})
_COMPUTED = re.compile(
    r"""
    \bgetattr\b(?!\(\s*[\w.\[\]]+\s*,\s*(["'])[^"'\\\n]*\1\s*[,)])
    | \b(?:attrgetter|methodcaller|import_string|locate)\b(?!\(\s*(["'])[^"'\\\n]*\2\s*[,)])
    | \b(?:globals|vars|locals)\b(?!\([^()]*\)(?:\[\s*(["'])\w*\3\s*\]|(?![\s)\\]*[\[#])))
    | __dict__\b(?=[\s)\\]*[\[#])(?!\[\s*(["'])\w*\4\s*\])
    """,
    re.VERBOSE,
)
"""A look-up, save where the text shows that its name is written out, or that nothing is looked up."""


class Unknowable(Exception):
    """What is asked cannot be known; the message says why."""


@dataclass(eq=False)
class Parsed:
    """One file, parsed."""

    path: str
    names: Names
    others: Callable[[str], Others]

    @cached_property
    def attributes(self) -> dict[str, list[ast.Attribute]]:
        """Every reading of an attribute, by its name."""
        found: dict[str, list[ast.Attribute]] = {}
        for node in self.names.parsed.of(ast.Attribute):
            found.setdefault(node.attr, []).append(node)
        return found

    @cached_property
    def functions(self) -> dict[str, list[FunctionNode]]:
        """Every function and method, by its name."""
        found: dict[str, list[FunctionNode]] = {}
        for node in self.names.parsed.of(ast.FunctionDef, ast.AsyncFunctionDef):
            found.setdefault(node.name, []).append(node)
        return found

    @cached_property
    def classes(self) -> dict[str, list[ast.ClassDef]]:
        """Every class, by its name."""
        found: dict[str, list[ast.ClassDef]] = {}
        for node in self.names.parsed.of(ast.ClassDef):
            found.setdefault(node.name, []).append(node)
        return found

    @cached_property
    def class_attributes(self) -> ClassAttributes:
        """What `self.name` holds in the classes of the file."""
        return ClassAttributes(self.names, self.others(self.path))

    def owner(self, function: ast.AST) -> ast.ClassDef | None:
        """The class whose method a function is."""
        parent = self.names.parents.get(id(function))
        return parent if isinstance(parent, ast.ClassDef) else None


@dataclass(frozen=True)
class _LookUp:
    """A look-up of a name that is not written out: what it is put together of, or the names it chooses among."""

    place: str
    pattern: re.Pattern[str] | None
    among: Mapping[str, frozenset[str]]
    """Each with the files that it may come from; none where that is not known."""

    def may_be(self, name: str, home: str) -> bool:
        """Whether it may find a name that a file binds."""
        if self.pattern is not None:
            return self.pattern.fullmatch(name) is not None
        sources = self.among.get(name, self.among.get("*"))
        return sources is not None and (not sources or not home or home in sources)


class Index:
    """The parsed files of a project, and searches over the others.

    Args:
        project: the files and their texts.
        meanings: what names stand for that a file takes from other files.
        others: what the other files change of one.
    """

    def __init__(
        self,
        project: Project,
        meanings: Callable[[str], Mapping[str, str]] = lambda _: {},
        others: Callable[[str], Others] = lambda _: Others(),
    ) -> None:
        self.project = project
        self._meanings = meanings
        self._others = others
        self._parsed: dict[str, Parsed | None] = {}
        self._holding: dict[str, list[Parsed]] = {}
        self._named_elsewhere: dict[str, bool] = {}
        self._look_ups: dict[str, list[_LookUp]] = {}
        self.handed_on: dict[str, str] = {}
        """Where modules are handed on whole, by their files; empty where they are not."""

    def file(self, path: str) -> Parsed | None:
        """A file; None if it does not parse.

        Raises:
            Unknowable: too many files have been parsed.
        """
        if path not in self._parsed:
            if len(self._parsed) >= MOST_FILES:
                raise Unknowable(f"more than {MOST_FILES} files hold the names in question")
            try:
                tree = parse_once(self.project.text(path)).tree
                self._parsed[path] = Parsed(path, Names(tree, self._meanings(path)), self._others)
            except (SyntaxError, ValueError, RecursionError):
                self._parsed[path] = None
        return self._parsed[path]

    def holding(self, word: str) -> list[Parsed]:
        """The files in which a word stands.

        Raises:
            Unknowable: one of them does not parse, or they are too many.
        """
        if word not in self._holding:
            found = []
            for path in self.project.holding(word):
                parsed = self.file(path)
                if parsed is None:
                    raise Unknowable(f"{path} does not parse")
                found.append(parsed)
            self._holding[word] = found
        return self._holding[word]

    # -- names in strings ------------------------------------------------------------------------

    def check_not_looked_up(self, name: str, home: str, *, as_attribute: bool = False) -> None:
        """Check that nothing can look a name up by a string: written out, built, or in a file of another kind.

        Args:
            name: the name of a class, a function, a parameter or an attribute.
            home: the file whose module binds it; empty where none does.
            as_attribute: whether strings count only where they are looked up: names of attributes are common words.

        Raises:
            Unknowable: the message says where.
        """
        for parsed in self.holding(name):
            if os.path.basename(parsed.path) == "hubconf.py":  # noqa: PTH119
                raise Unknowable(f"{name} is handed out by hubconf.py")
            for constant in parsed.names.strings:
                found = names_it(str(constant.value), name, runs_code=self._runs_code and not as_attribute)
                if found and _may_look_up(parsed, constant, as_attribute):
                    raise Unknowable(f"{parsed.path}:{constant.lineno} names {name} in a string")
        for path in self._holding_look_ups:
            if any((computed := look_up).may_be(name, home) for look_up in self._look_ups_in(path)):
                raise Unknowable(f"{computed.place} looks names up that it computes, and {name} may be one")
        if not as_attribute and self._is_named_elsewhere(name):
            raise Unknowable(f"{name} stands in a file that is not Python")

    def check_no_model_is_loaded(self) -> None:
        """Check that no whole model is loaded and called: its parts may be of any class, and get anything.

        Raises:
            Unknowable: the message says where.
        """
        if self._loaded_models:
            raise Unknowable(f"{self._loaded_models[0]} calls what it has loaded")

    @cached_property
    def _runs_code(self) -> bool:
        """Whether anything runs code that stands in a string."""
        holding = self.project.holding("eval", "exec", "timeit", "Timer")
        return any(RUNS_CODE.search(self.project.text(path)) for path in holding)

    @cached_property
    def _loaded_models(self) -> list[str]:
        found = []
        for path in self.project.holding("load", "loads"):
            if _LOADED.search(self.project.text(path)) is None:
                continue
            parsed = self.file(path)
            if parsed is not None:
                calls = (call for call in parsed.names.calls if _is_loaded(call.func, parsed))
                found += [f"{path}:{call.lineno}" for call in calls]
        return found

    @cached_property
    def _holding_look_ups(self) -> list[str]:
        return self.project.holding(*_LOOK_UPS, *_NAMESPACES, "__dict__")

    def _look_ups_in(self, path: str) -> list[_LookUp]:
        """The look-ups of a file of names that are not written out, with what each may be."""
        if path not in self._look_ups:
            parsed = self.file(path) if _COMPUTED.search(self.project.text(path)) else None
            found = []
            for node in parsed.names.parsed.of(ast.Call, ast.Subscript) if parsed is not None else ():
                key = _looked_up(node)
                if parsed is not None and key is not None and not isinstance(key, ast.Constant):
                    pattern = _fragments(key, parsed.names)
                    names = {} if pattern else self._names_in(parsed, node)
                    names = names | dict.fromkeys(_written_out(key, parsed.names), frozenset())
                    found.append(_LookUp(f"{path}:{node.lineno}", pattern, names))
            self._look_ups[path] = found
        return self._look_ups[path]

    def _names_in(self, parsed: Parsed, node: ast.AST) -> dict[str, frozenset[str]]:
        """The names among which a look-up by a name that comes whole from outside chooses.

        Those of the file for `globals()[…]`, of its methods for `getattr(self, …)`, of a module of the project for
        `getattr(module, …)`. Of what cannot be told, none: there the name is written in some string or file.
        """
        base = node.value if isinstance(node, ast.Subscript) else node.args[0] if isinstance(node, ast.Call) else None
        base = base.value if isinstance(base, ast.Attribute) and base.attr == "__dict__" else base
        if isinstance(base, ast.Name) and base.id == "self":
            return dict.fromkeys({*parsed.functions, *self._members_of_derived(parsed, node)}, frozenset())
        if isinstance(base, ast.Call):  # `globals()`, `vars()`, or what nobody can follow
            return self._bound_in(parsed) if called_name(base.func) in _NAMESPACES else {}
        base = base.value if isinstance(base, ast.Subscript) else base
        dotted = parsed.names.resolve(base) if isinstance(base, ast.Name | ast.Attribute) else None
        if dotted is None:
            return {}
        if dotted == "sys.modules":
            return self._bound_in(parsed)
        bare = dotted.lstrip(".")
        target = self.project.graph.module(parsed.path, len(dotted) - len(bare), bare)
        module = self.file(target) if target is not None else None
        return self._bound_in(module) if module is not None else {}

    def _members_of_derived(self, parsed: Parsed, node: ast.AST) -> set[str]:
        """The members of the classes, in any file, that derive from the class around a node, judged by names."""
        around = next((n for n in parsed.names.ancestors(node) if isinstance(n, ast.ClassDef)), None)
        classes = self.project.classes
        return set().union(*map(classes.members, classes.below(around.name))) if around is not None else set()

    def _bound_in(self, module: Parsed) -> dict[str, frozenset[str]]:
        """What a module binds, with the files that each name may come from."""
        scope = module.names.module
        found = dict.fromkeys(scope.bindings, frozenset({module.path}))
        for statement in self.project.imports(module.path):
            if statement.bound in found:
                found[statement.bound] = frozenset(self.project.graph.origins(module.path, statement))
        return {**found, **dict.fromkeys(["*"] if scope.stars else [], frozenset[str]())}

    def _is_named_elsewhere(self, name: str) -> bool:
        if name not in self._named_elsewhere:
            word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
            self._named_elsewhere[name] = any(word.search(text) for text in self._other_texts)
        return self._named_elsewhere[name]

    @cached_property
    def _other_texts(self) -> list[str]:
        try:
            paths = list_files([self.project.root], include=_OTHER_FILES)
        except DiscoverError:
            return []
        texts = []
        for path in paths:
            try:
                if Path(path).stat().st_size <= _LARGEST:
                    text = read_regular(path).decode("utf-8", "replace")
                    texts.append(words_of(str(path), text) if is_notebook(path) else text)
            except OSError:
                continue
        return texts


def _is_loaded(function: ast.expr, parsed: Parsed) -> bool:
    """Whether what is called was loaded whole: `torch.load(path).eval()(x)`, also by way of a variable or attribute."""
    names = parsed.names
    if isinstance(function, ast.Attribute) and function.attr == "forward":
        function = function.value
    values: list[ast.expr] = [function]
    if isinstance(function, ast.Name):
        scope = names.scope_at[id(function)].owner(function.id)
        values = [b.value for b in scope.bindings[function.id] if b.value is not None] if scope is not None else []
    if isinstance(function, ast.Attribute):
        stored = (names.parents[id(n)] for n in parsed.attributes[function.attr] if isinstance(n.ctx, ast.Store))
        values += [s.value for s in stored if isinstance(s, ast.Assign | ast.AnnAssign) and s.value is not None]
    return any(_loads(value, names) for value in values)


def _loads(node: ast.expr, names: Names) -> bool:
    while isinstance(node, ast.Call):
        if (names.resolve(node.func) or ast.unparse(node.func)) in _LOADERS:
            return True
        node = node.func.value if isinstance(node.func, ast.Attribute) else node.func
    return False


def _may_look_up(parsed: Parsed, constant: ast.Constant, as_attribute: bool) -> bool:
    """Whether something may be looked up by a string: not in `__all__`, an annotation or a text that stands alone.

    The name of an attribute is looked up by `getattr` and its like only.
    """
    for parent in parsed.names.ancestors(constant):
        if isinstance(parent, ast.Call) and as_attribute:
            return called_name(parent.func) in {*_LOOK_UPS, "setattr", "delattr"}
        if isinstance(parent, ast.Expr) and not as_attribute:
            return parent.value is not constant
        if isinstance(parent, ast.arg) or (as_attribute and isinstance(parent, ast.stmt)):
            return False
        if isinstance(parent, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
            return not any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets)
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
            return constant not in ast.walk(parent.returns) if parent.returns is not None else True
    return True


def _looked_up(node: ast.AST) -> ast.expr | None:
    """The expression of the name that is looked up: of `getattr(x, …)`, `globals()[…]`, `module.__dict__[…]`."""
    if isinstance(node, ast.Call) and called_name(node.func) in _LOOK_UPS:
        place = 1 if called_name(node.func) == "getattr" else 0
        return node.args[place] if len(node.args) > place else None
    if not isinstance(node, ast.Subscript):
        return None
    base = node.value
    by_call = isinstance(base, ast.Call) and called_name(base.func) in _NAMESPACES
    return node.slice if by_call or (isinstance(base, ast.Attribute) and base.attr == "__dict__") else None


def _written_out(key: ast.expr, names: Names) -> set[str]:
    """Names among those that a variable may hold: what is assigned, a parameter's default, what a loop goes through."""
    scope = names.scope_at[id(key)].owner(key.id) if isinstance(key, ast.Name) else None
    found: list[ast.AST] = []
    for binding in scope.bindings[key.id] if scope is not None and isinstance(key, ast.Name) else ():
        around = names.parents.get(id(binding.node))
        found += [binding.value] if binding.value is not None else []
        if isinstance(around, ast.arguments):
            found += [d for d in (*around.defaults, *around.kw_defaults) if d is not None]
        if isinstance(around, ast.For | ast.comprehension):
            found.append(around.iter)
    parts = (part for node in found for part in ast.walk(node))
    return {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def _fragments(key: ast.expr, names: Names) -> re.Pattern[str] | None:
    """What a name that is put together may be; None for one of which no piece is written out."""
    pattern = _pattern(key)
    if pattern is None and isinstance(key, ast.Name):
        scope = names.scope_at[id(key)].owner(key.id)
        values = [b.value for b in scope.bindings[key.id] if b.value is not None] if scope is not None else []
        built = [found for value in values if (found := _pattern(value)) is not None]
        pattern = "|".join(built) or None
    return re.compile(pattern) if pattern is not None else None


def _pattern(node: ast.expr) -> str | None:
    """A pattern for a string that is put together of a piece at least that is written out."""
    if isinstance(node, ast.JoinedStr):
        parts = [re.escape(str(p.value)) if isinstance(p, ast.Constant) else ".*" for p in node.values]
        return "".join(parts) if any(part != ".*" for part in parts) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = (_piece(side) for side in (node.left, node.right))
        return left + right if (left, right) != (".*", ".*") else None
    text = node.left if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        text = node.func.value
    if isinstance(text, ast.Constant) and isinstance(text.value, str):
        pieces = re.split(r"%\w|\{[^}]*\}", text.value)
        return ".*".join(map(re.escape, pieces)) if any(pieces) else None
    return None


def _piece(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value)
    return _pattern(node) or ".*"
