"""Variables of a file that other files put something else in the place of: as tests do with `net.attend = mine`.

By a store or a `del` (`net.xops = None`), by a call that is given the module (`setattr(net, "xops", None)`), or one
that is given the path (`mock.patch("pkg.net.xops")`). Who reads such a variable must go on reading it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping

from xf2sdpa.analysis.names import called_name
from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.project.handed_on import HandedOn
from xf2sdpa.project.import_graph import ImportGraph

PATCHING = frozenset({"patch", "object", "setattr", "delattr", "multiple"})
"""Functions that put something in the place of an attribute."""
_NAMED = re.compile(r"""(?:\.\s*|["'])(\w+)(?=\s*(?:["',:)]|$|=(?!=)))""", re.MULTILINE)
_LISTED = re.compile(r"\b(?:del|multiple)\b(.*)")
"""Where a variable that is replaced must stand."""
_CALLED = re.compile(rf"\b(?:{'|'.join(sorted(PATCHING))})\s*\(")


class Replaced:
    """Which variables of each file others replace.

    Args:
        handing: who takes what from whom.
        graph: the imports between the files.
        texts: the text of each file.
    """

    def __init__(self, handing: HandedOn, graph: ImportGraph, texts: Mapping[str, str]) -> None:
        self._handing = handing
        self._graph = graph
        self._texts = texts

    def of(self, wanted: Mapping[str, Collection[str]]) -> dict[str, frozenset[str]]:
        """Those of the wanted variables, by file, that some other file replaces."""
        found: dict[str, set[str]] = {file: set() for file in wanted}
        asked = {file: frozenset(names) for file, names in wanted.items() if names}
        words = frozenset().union(*asked.values())
        for file, text in self._texts.items() if words else ():
            if self._wanted_by(file, asked, words) & _named(text):
                for target, name in self._in(file):
                    if target != file and name in wanted.get(target, ()):
                        found[target].add(name)
        return {file: frozenset(names) for file, names in found.items()}

    def _wanted_by(self, file: str, asked: Mapping[str, frozenset[str]], words: frozenset[str]) -> frozenset[str]:
        """Those of the wanted words that a file can replace: of what it imports, or any if it can name paths."""
        if _CALLED.search(self._texts[file]) is not None:
            return words
        near = asked.keys() & self._graph.runs_with(file)
        return frozenset().union(*(asked[other] for other in near))

    def _in(self, file: str) -> Iterator[tuple[str, str]]:
        """Each variable that a file replaces, with the file that it is of."""
        try:
            nodes = parse_once(self._texts[file]).nodes
        except (SyntaxError, ValueError, RecursionError):
            return
        modules = dict(m for s in self._graph.imports(file) for m in self._handing.modules_bound(file, s))
        for node in nodes:
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
                module = modules.get(ast.unparse(node.value))
                if module is not None:
                    yield module, node.attr
            elif isinstance(node, ast.Call) and called_name(node.func) in PATCHING and node.args:
                yield from self._by_call(file, node, modules)

    def _by_call(self, file: str, call: ast.Call, modules: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        first, *more = call.args
        if isinstance(first, ast.Constant):
            path = str(first.value)
            yield from self._at(file, *path.rpartition(".")[::2])
            for keyword in call.keywords:  # `patch.multiple("net", xops=None)`
                yield from self._at(file, path, keyword.arg or "")
            return
        module = modules.get(ast.unparse(first))
        if module is not None:
            yield from ((module, str(name.value)) for name in more[:1] if isinstance(name, ast.Constant))
            yield from ((module, keyword.arg or "") for keyword in call.keywords)

    def _at(self, file: str, path: str, name: str) -> Iterator[tuple[str, str]]:
        module = self._graph.module(file, 0, path) if path.replace(".", "").isidentifier() else None
        if module is not None:
            yield module, name


def _named(text: str) -> set[str]:
    """The words of a text that may be variables which it replaces."""
    return {*_NAMED.findall(text), *(word for rest in _LISTED.findall(text) for word in re.findall(r"\w+", rest))}
