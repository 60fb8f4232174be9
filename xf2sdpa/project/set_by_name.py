"""What files of a project set by names that they compute: through functions, from tables, by other variables.

`for name, part in {"norm": other}.items(): setattr(block, name, part)`, `put(block, "norm", other)` where `put` does
that, `layers = block.layers; layers.append(more)`. A loop over all parts of a module has no name; it puts like in the
place of like, or no model would survive it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

_COMPUTED = re.compile(
    r"""(?x)
      (?<![\w.]) (?: object\.__ )? setattr (?: __ )? \(
      (?! \s* (?: self | args | opts? | config | cfg | namespace ) \s* , )
      (?: [^,()\n] | \( [^()\n]* \) )+ , (?! \s* ["'] ) \s* (?P<name> [fF]["'] [^"'\n]* | [^,\n]* )
    | (?: \._modules | \.__dict__ | \b vars\( [^()\n]* \) ) \[ (?! \s* ["'] ) (?P<key> [^]\n]* ) \] [ \t]* = (?!=)"""
)
"""Something is set by a name that is not written there."""
_WORDS = ("setattr", "_modules[", "__dict__[", "vars(")
"""One of these stands in each text where that is so."""
_BLOCK = re.compile(
    r"^([ \t]*)(?:async[ \t]+)?(?:def[ \t]+(\w+)|(?:for|if|elif)\b(.*)|(?:class|with|else|try|while)\b.*)", re.MULTILINE
)
"""The head of a block: its indentation, the function's name, or what a loop goes through and a condition asks."""
_STRING = re.compile(r"""["'](?:\w+\.)*(\w+)["']""")
_KEYWORD = re.compile(r"\b(\w+)[ \t]*=(?!=)")
_WORD = re.compile(r"\w+")
_LONGEST = 4000
"""Characters of a call that are looked at."""
_CHANGING = (
    r"(?: \. (?: append | extend | insert | pop | add_module | register_module | register_forward_hook"
    r" | register_forward_pre_hook ) \( | \[ [^]\n]* \] [ \t]* = (?!=) | \._modules\["
    r" | \. (?: forward | __call__ | __class__ ) [ \t]* = (?!=) )"
)
_OTHER = re.compile(rf"""(?mx) ^ [ \t]* (\w+) {_CHANGING}""")
"""A variable by which something is changed."""
_HOLDING = re.compile(
    r"""(?mx) ^ [ \t]*
      (?: for [ \t]+ (?: \w+ [ \t]* , [ \t]* )? (?P<each> \w+ ) [ \t]+ in\b | (?P<one> \w+ ) [ \t]* =(?!=) ) [^\n]*
      (?: \. (?P<part> \w+ ) (?: \[ [^]\n]* \] )? \)?
        | getattr\( [^,\n]+ , [ \t]* ["'] (?P<named> \w+ ) ["'] [^\n]* )
      [ \t]* :? [ \t]* (?: \# [^\n]* )? $"""
)
"""A variable that is given an attribute, or an item of it, or goes through it."""
_NOT_A_LIST = re.compile(r"\w+\.(?:register_forward|forward|__call__|__class__|add_module|register_module|_modules)")
"""What is done to no list."""


@dataclass
class _Found:
    """What one text sets by computed names: names, patterns, and the functions that take the name as an argument."""

    names: set[str] = field(default_factory=set)
    patterns: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    by_function: set[str] = field(default_factory=set)
    """Those of the functions that take the name from another function, `f.__name__`."""


class SetByName:
    """Names that are set by computing them.

    Args:
        texts: the text of each file.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def of(self, file: str) -> frozenset[str]:
        """What is set of a file."""
        words = set(_WORD.findall(self._texts[file])) if self._patterns else set()
        fitting = (word for word in words if any(pattern.fullmatch(word) for pattern in self._patterns))
        return self._names.union(fitting)

    @cached_property
    def _all(self) -> list[_Found]:
        return [_found_in(text) for text in self._texts.values() if any(w in text for w in _WORDS)]

    @cached_property
    def _patterns(self) -> list[re.Pattern[str]]:
        return [re.compile(pattern) for pattern in sorted(set().union(*(one.patterns for one in self._all)))]

    @cached_property
    def _names(self) -> frozenset[str]:
        functions = set[str]().union(*(one.functions for one in self._all))
        by_function = set[str]().union(*(one.by_function for one in self._all))
        found = set[str]().union(*(one.names for one in self._all))
        for text in self._texts.values():
            found |= set(_through_variables(text))
            for name in functions:
                found |= set(_through_function(text, name, whole=name in by_function))
        return frozenset(found)


def _found_in(text: str) -> _Found:
    found = _Found()
    for place in _COMPUTED.finditer(text):
        name = place["name"] or place["key"] or ""
        if name[:1] in "fF" and name[1:2] in ("'", '"'):
            pieces = re.split(r"\{[^}]*\}", name[2:])
            found.patterns |= {".*".join(map(re.escape, pieces))} if any(pieces) else set()
            continue
        for function, head in _around(text, place.start()):
            found.names |= set(_STRING.findall(head))
            found.functions |= {function} if function and not function.startswith("__") else set()
            found.by_function |= {function} if function and "__name__" in name else set()
    return found


def _around(text: str, place: int) -> Iterator[tuple[str, str]]:
    """What a place stands in: functions, by name; loops and conditions, by their heads."""
    start = text.rfind("\n", 0, place) + 1
    indent = len(text[start:place]) - len(text[start:place].lstrip())
    for block in reversed(list(_BLOCK.finditer(text, 0, start))):
        if len(block[1]) < indent:
            indent = len(block[1])
            yield block[2] or "", block[3] or ""
        if not indent:
            return


def _through_function(text: str, name: str, *, whole: bool) -> Iterator[str]:
    """What the calls of a function name that sets what it is told; with `whole`, functions that it is given, too."""
    place = text.find(f"{name}(")
    while place != -1:
        before = text[max(0, place - 4) : place]
        if not (before[-1:].isalnum() or before[-1:] == "_" or before == "def "):
            given = in_brackets(text, place + len(name))
            yield from named_in(given)
            yield from _WORD.findall(given) if whole else ()
            if whole and before[-1:] == "@":
                following = re.compile(r"def[ \t]+(\w+)").search(text, place)
                yield from [following[1]] if following is not None else []
        place = text.find(f"{name}(", place + 1)


def _through_variables(text: str) -> Iterator[str]:
    """The attributes that variables hold by which something is changed, and what conditions around it name."""
    places = [found for found in _OTHER.finditer(text) if found[1] not in ("self", "cls")]
    variables = {found[1] for found in places}
    for held in _HOLDING.finditer(text) if variables else ():
        if (held["each"] or held["one"]) in variables:
            yield held["part"] or held["named"]
    for place in (found.start(1) for found in places):
        if _NOT_A_LIST.match(text, place) is not None:
            yield from (name for _, head in _around(text, place) for name in _STRING.findall(head))


def named_in(text: str) -> Iterator[str]:
    """The names in a call that something may be set by: strings, of dotted ones the last part, and keywords."""
    yield from _STRING.findall(text)
    yield from _KEYWORD.findall(text)


def in_brackets(text: str, start: int) -> str:
    """What stands in the brackets that open at a place, as far as it is looked at."""
    depth = 0
    for place in range(start, min(len(text), start + _LONGEST)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if not depth:
            return text[start + 1 : place]
    return text[start + 1 : start + _LONGEST]
