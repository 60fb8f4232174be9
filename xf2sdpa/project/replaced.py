"""Variables of a file that other files put something else in the place of: as tests do with `net.attend = mine`.

By a store or a `del` (`net.xops = None`), by a call that is given the module (`setattr(net, "xops", None)`), or one
that is given the path (`mock.patch("pkg.net.xops")`). Who reads such a variable must go on reading it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping

from xf2sdpa.analysis.names import called_name, dotted_name
from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.files.words import ends_of
from xf2sdpa.project.handed_on import HandedOn
from xf2sdpa.project.import_graph import ImportGraph

PATCHING = frozenset({"patch", "object", "setattr", "delattr", "multiple"})
"""Functions that put something in the place of an attribute."""
_THEN = re.compile(r"""\s*(?:["',:)]|$|=(?!=))""", re.MULTILINE)
"""What stands behind a variable that is replaced, where a dot or a quote stands before it."""
_STORED = re.compile(r"\s*=(?!=)")
_CHANGING = re.compile(r"\b(?:update|dict|multiple)\((?:.*,)?\s*$")
"""What changes dictionaries by keywords."""
_LISTED = re.compile(r"\b(?:del|multiple)\b")
"""Behind these in a line, any word may be one."""
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
            here = frozenset(word for word in words if word in text and _may_replace(text, word))
            if here and self._wanted_by(file, asked, here):
                for target, name in self._in(file):
                    if target != file and name in wanted.get(target, ()):
                        found[target].add(name)
        return {file: frozenset(names) for file, names in found.items()}

    def lowered(self, flags: Mapping[str, Collection[str]]) -> dict[str, frozenset[str]]:
        """Those of some flags, by file, that another file may set, whatever it reaches their module by.

        `sys.modules["net"].FAST = False`, `setattr(module, name, 0)` for names in a list, `vars(net).update(FAST=0)`:
        a store behind any dot but that of `self`, a string that is the name, a keyword of what changes dictionaries.
        """
        found: dict[str, set[str]] = {file: set() for file in flags}
        words = sorted({word for names in flags.values() for word in names})
        for file, text in self._texts.items() if words else ():
            here = {word for word in words if word in text and _may_lower(text, word)}
            for other in flags if here else ():
                found[other] |= here.intersection(flags[other]) if other != file else set()
        return {file: frozenset(names) for file, names in found.items()}

    def _wanted_by(self, file: str, asked: Mapping[str, frozenset[str]], words: frozenset[str]) -> frozenset[str]:
        """Those of the wanted words that a file can replace: of what it imports, or any if it can name paths."""
        text = self._texts[file]
        if any(word in text for word in PATCHING) and _CALLED.search(text) is not None:
            return words
        near = asked.keys() & self._graph.runs_with(file)
        return words.intersection(name for other in near for name in asked[other])

    def _in(self, file: str) -> Iterator[tuple[str, str]]:
        """Each variable that a file replaces, with the file that it is of."""
        try:
            nodes = parse_once(self._texts[file]).of(ast.Attribute, ast.Call)
        except (SyntaxError, ValueError, RecursionError):
            return
        modules = dict(m for s in self._graph.imports(file) for m in self._handing.modules_bound(file, s))
        for node in nodes:
            if isinstance(node, ast.Attribute):
                module = None if isinstance(node.ctx, ast.Load) else modules.get(dotted_name(node.value))
                if module is not None:
                    yield module, node.attr
            elif called_name(node.func) in PATCHING and node.args:
                yield from self._by_call(file, node, modules)

    def _by_call(self, file: str, call: ast.Call, modules: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        first, *more = call.args
        if isinstance(first, ast.Constant):
            path = str(first.value)
            yield from self._at(file, *path.rpartition(".")[::2])
            for keyword in call.keywords:  # `patch.multiple("net", xops=None)`
                yield from self._at(file, path, keyword.arg or "")
            return
        module = modules.get(dotted_name(first))
        if module is not None:
            yield from ((module, str(name.value)) for name in more[:1] if isinstance(name, ast.Constant))
            yield from ((module, keyword.arg or "") for keyword in call.keywords)

    def _at(self, file: str, path: str, name: str) -> Iterator[tuple[str, str]]:
        module = self._graph.module(file, 0, path) if path.replace(".", "").isidentifier() else None
        if module is not None:
            yield module, name


def _may_lower(text: str, word: str) -> bool:
    """Whether a text may set a variable of another module that is called so."""
    for end in ends_of(word, text):
        start = end - len(word)
        before = text[text.rfind("\n", 0, start) + 1 : start]
        if before.endswith(('"', "'")) and text[end : end + 1] == before[-1]:
            return True
        stored = _STORED.match(text, end) is not None or _LISTED.search(before) is not None
        if before.endswith(".") and stored and not before.endswith(("self.", "cls.")):
            return True
        if stored and _CHANGING.search(before) is not None:
            return True
    return False


def _may_replace(text: str, word: str) -> bool:
    """Whether a word stands in a text where it may be a variable that is replaced."""
    for end in ends_of(word, text):
        start = end - len(word)
        before = text[text.rfind("\n", 0, start) + 1 : start]
        if _LISTED.search(before) is not None:
            return True
        above = before.rstrip() or text[:start].rstrip()
        if (above.endswith(".") or before.endswith(('"', "'"))) and _THEN.match(text, end) is not None:
            return True
    return False
