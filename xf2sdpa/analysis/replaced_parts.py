"""What is put in the place of a file's functions, methods, layers and attributes, so that their text tells little.

`block.layer = other`, `self.layers.append(more)`, `Block.fold = mine`, `globals()["fold"] = mine`: all by name, and by
the file itself or by others.
"""

from __future__ import annotations

import ast
from collections.abc import Collection

from xf2sdpa.analysis.names import Names, called_name
from xf2sdpa.analysis.scopes import Scope

_ADDING = frozenset(
    {"append", "extend", "insert", "pop", "add_module", "register_module", "register_forward_hook",
     "register_forward_pre_hook", "__setitem__"}
)  # fmt: skip
"""Methods that change what a layer, or a container of layers, does when it is called."""
_CALLED = frozenset({"forward", "__call__", "__class__"})


class ReplacedParts:
    """What is replaced of a file, gathered once.

    Args:
        names: the names of the file.
        elsewhere: what other files replace.
        attributes: attributes whose values the methods of classes elsewhere change.
    """

    def __init__(self, names: Names, elsewhere: Collection[str] = (), attributes: Collection[str] = ()) -> None:
        self._names = names
        self._elsewhere, self._attributes = elsewhere, attributes
        self._changed: set[str] = set(elsewhere)
        self._set: set[str] = set()
        self._handed: set[str] = set()
        for node in names.parsed.of(ast.Attribute):
            self._look_at(node)
        self._sets_any = any(self._is_set_by_name(call) for call in names.calls)
        stars = (s.lineno for s in names.imports if isinstance(s, ast.ImportFrom) and s.names[0].name == "*")
        self._last_star = max(stars, default=0)
        self._changes_globals = any(self._is_changed_table(call) for call in names.calls)

    def _look_at(self, node: ast.Attribute) -> None:
        of_self = isinstance(node.value, ast.Name) and node.value.id == "self"
        if not isinstance(node.ctx, ast.Load):
            if not of_self or not self._is_assigned(node):
                self._changed.add(node.attr)
            if getattr(self._names.function(node), "name", "") != "__init__":
                self._set.add(node.attr)
            return
        parent = self._names.parents.get(id(node))
        stored = not isinstance(getattr(parent, "ctx", ast.Load()), ast.Load)
        attr = parent.attr if isinstance(parent, ast.Attribute) else ""
        if isinstance(parent, ast.Call) and parent.func is not node:
            self._handed |= set() if (self._names.resolve(parent.func) or "").startswith("torch.") else {node.attr}
        if attr in _ADDING or (stored and (attr in _CALLED or isinstance(parent, ast.Subscript))):
            self._changed.add(node.attr)

    def _is_assigned(self, node: ast.AST) -> bool:
        """Whether a target is that of an assignment, which shows its value: not of a loop, a `with`, a `del`."""
        parent = self._names.parents.get(id(node))
        while isinstance(parent, ast.Tuple | ast.List | ast.Starred):
            parent = self._names.parents.get(id(parent))
        return isinstance(parent, ast.Assign | ast.AnnAssign | ast.AugAssign)

    def _is_set_by_name(self, call: ast.Call) -> bool:
        if called_name(call.func) != "setattr" or len(call.args) < 2:
            return False
        name = call.args[1]
        if isinstance(name, ast.Constant):
            self._set.add(str(name.value))
            self._changed.add(str(name.value))
        return not isinstance(name, ast.Constant)

    def _is_changed_table(self, call: ast.Call) -> bool:
        """Whether a call is the `globals()` of `globals()["fold"] = mine`, `globals().update(…)`, `put(globals())`."""
        parent = self._names.parents.get(id(call))
        stored = isinstance(parent, ast.Subscript) and not isinstance(parent.ctx, ast.Load)
        return called_name(call.func) == "globals" and (stored or isinstance(parent, ast.Attribute | ast.Call))

    def layer(self, name: str) -> bool:
        """Whether a layer of that name is replaced, or does more than the expression tells that makes it."""
        return name in self._changed

    def filled(self, name: str) -> bool:
        """Whether a container of that name is handed to something that may fill it."""
        return name in self._handed

    def method(self, scope: Scope, name: str) -> bool:
        """Whether a class has a method of that name more than once, or something is put in its place."""
        return len(scope.bindings.get(name, ())) > 1 or name in self._changed

    def definition(self, node: ast.FunctionDef | ast.ClassDef) -> bool:
        """Whether a function or class of the module may be another one when it is called."""
        return self._changes_globals or node.lineno < self._last_star or node.name in self._elsewhere

    def attribute(self, node: ast.Attribute) -> bool:
        """Whether two readings of `o.name` may give different things: it is set somewhere, or `o` is bound again."""
        if self._sets_any or any(node.attr in names for names in (self._set, self._elsewhere, self._attributes)):
            return True
        root: ast.expr = node
        while isinstance(root, ast.Attribute | ast.Subscript):
            root = root.value
        if not isinstance(root, ast.Name) or root.id == "self":
            return False
        scope = self._names.scope_at.get(id(root))
        owner = scope.owner(root.id) if scope is not None else None
        return owner is not None and len(owner.bindings.get(root.id, ())) > 1
