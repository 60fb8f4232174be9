"""Layers, methods and functions that files of a project put something else in the place of, from outside.

`block.norm = nn.Identity()`, `ops.turn = turn_half`, `setattr(block, "norm", other)`, `block.norm.append(layer)`: told
by the name alone, whatever the object is, as only a run would show that.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator, Mapping
from functools import cached_property

from xf2sdpa.project.classes import ADDING
from xf2sdpa.project.set_by_name import SetByName, in_brackets, named_in

_DOING = rf"(?: {ADDING} | set_submodule | __setitem__ )"
_BEING = r"(?: forward | __call__ | __class__ | __code__ | __defaults__ )"
_SET = re.compile(
    rf"""(?x) \. (\w+) (?:
      [ \t]* (?: : [^=\n]{{1,80}} )? = (?!=)
    | (?P<together> (?= [ \t]* , [^\n=()]{{0,200}} = (?!=) ) )
    | \[ [^]\n]{{0,200}} \] [ \t]* = (?!=)
    | \. {_DOING} \(
    | \. (?: _modules | __dict__ ) \[ [^]\n]{{0,200}} \] [ \t]* = (?!=)
    | \. {_BEING} [ \t]* = (?!=) )"""
)
"""An attribute that is set, alone or together with others, or what is done to a layer that changes what it does."""
_NAMING = (
    *("setattr(", "delattr(", ".__setattr__(", "patch(", "patch.object(", "vars(", ".set_submodule("),
    *(".add_module(", ".register_module(", "._modules[", ".__dict__["),
)
_NAMED = re.compile(r"""[^"'\n]{0,500}(?:\n[^"'\n]{0,500})?["'](?:\w+\.)*(\w+)["']""")
"""The first string behind one of these."""
_TABLES = re.compile(r"(?:\.__dict__|\._modules|\bvars\([^()\n]*\))\.update\(|\bpatch\.(?:multiple|dict)\(")
"""What sets several at once: all strings and keywords in the brackets count."""
_TABLE_WORDS = ("__dict__.update(", "_modules.update(", ").update(", "patch.multiple(", "patch.dict(")
_PART = re.compile(r"setattr(?<![\w.]setattr)\(\s*[\w.]*\.(\w+)\s*,")
"""`setattr(block.layers, "0", other)`: a part of a layer."""
_SELF = re.compile(r"(?:^|[^\w.])(?:self|cls)$")
_LONGEST = 2000
"""Characters of a line that are looked at."""
_MOST_LINES = 50
"""Lines above one that are looked at for the condition around it."""
_HEAD = re.compile(r"^(?:async[ \t]+)?(class|def)\b", re.MULTILINE)


class SetElsewhere:
    """Names that each file sets behind a dot that is not that of `self`.

    Args:
        texts: the text of each file.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._by_file = {file: frozenset(_Text(text).names()) for file, text in texts.items()}
        self._by_name = SetByName(texts)

    def of(self, file: str) -> frozenset[str]:
        """What the others may set of a file, and what anything sets of it by names that are computed."""
        others = (names for other, names in self._by_file.items() if other != file)
        return self._by_name.of(file).union(*others)


class _Text:
    """One file's text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def names(self) -> Iterator[str]:
        """The names that it sets."""
        text = self._text
        for found in _SET.finditer(text):
            start = found.start()
            line = text[max(text.rfind("\n", 0, start) + 1, start - _LONGEST) : start]
            in_a_call = found["together"] is not None and "(" in line
            if not (in_a_call or "#" in line or self._is_of_self(start) or self._is_missing(start)):
                yield found[1]
        for word in _NAMING:
            place = text.find(word)
            while place != -1:
                named = _NAMED.match(text, place + len(word))
                if named is not None and not self._is_of_self(place):
                    yield named[1]
                place = text.find(word, place + 1)
        yield from _PART.findall(text)
        for table in _TABLES.finditer(text) if any(word in text for word in _TABLE_WORDS) else ():
            yield from named_in(in_brackets(text, table.end() - 1))

    def _is_missing(self, dot: int) -> bool:
        """Whether something is set where it is missing: in a block that begins `if not hasattr(self, "to_q"):`."""
        text = self._text
        end = text.rfind("\n", 0, dot) + 1
        indent = len(text[end:dot]) - len(text[end:dot].lstrip())
        for _ in range(_MOST_LINES if indent else 0):
            start = text.rfind("\n", 0, end - 1) + 1
            line = text[start : end - 1]
            if line.strip() and len(line) - len(line.lstrip()) < indent:
                return "if not hasattr(" in line
            if not start:
                break
            end = start
        return False  # or far above: taken for set

    def _is_of_self(self, dot: int) -> bool:
        """Whether what stands before a dot is the `self` of a method alone; a function's is anybody's."""
        if _SELF.search(self._text[max(0, dot - 5) : dot]) is None:
            return False
        before = bisect(self._heads, dot) - 1
        return before < 0 or self._text.startswith("class", self._heads[before])

    @cached_property
    def _heads(self) -> list[int]:
        """Where classes and functions at the margin begin."""
        return [head.start() for head in _HEAD.finditer(self._text)]
