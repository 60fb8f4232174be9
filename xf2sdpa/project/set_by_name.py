"""What files of a project set by names that they compute: through functions, from tables, by other variables.

`for name, part in {"norm": other}.items(): setattr(block, name, part)`, `put(block, "norm", other)` where `put` does
that, `layers = block.layers; layers.append(more)`. A loop over all parts of a module has no name; it puts like in the
place of like, or no model would survive it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from xf2sdpa.project.classes import ADDING

_COMPUTED = re.compile(
    r"""(?x)
      (?<![\w.]) (?: object\.__ )? setattr (?: __ )? \(
      (?! \s* (?: self | args | opts? | config | cfg | namespace ) \s* , )
      (?: [^,()\n] | \( [^()\n]{0,200} \) ){1,200} , (?! \s* ["'] )
      \s* (?P<name> [fF]["'] [^"'\n]{0,200} | [^,\n]{0,200} )
    | (?: \._modules | \.__dict__ | \b vars\( [^()\n]{0,200} \) )
      \[ (?! \s* ["'] ) (?P<key> [^]\n]{0,200} ) \] [ \t]* = (?!=)"""
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
_BRACKET = re.compile(r"[()]")
_CALL = re.compile(r"(?<!\w)(\w+)\(")
_DECORATED = re.compile(r"def[ \t]+(\w+)")
_MANY = 60
"""Functions from which on each call of a text is looked up among them, and not each of them in the text."""
_LONGEST = 4000
"""Characters of a call that are looked at."""
_CHANGING = (
    rf"(?: \. (?: {ADDING} ) \( | \[ [^]\n]{{0,200}} \] [ \t]* = (?!=) | \._modules\["
    r" | \. (?: forward | __call__ | __class__ ) [ \t]* = (?!=) )"
)
_OTHER = re.compile(rf"""(?mx) ^ [ \t]* (\w+) {_CHANGING}""")
"""A variable by which something is changed."""
_HOLDING = re.compile(
    r"""(?mx) ^ [ \t]*
      (?: for [ \t]+ (?: \w+ [ \t]* , [ \t]* )? (?P<each> \w+ ) [ \t]+ in\b | (?P<one> \w+ ) [ \t]* =(?!=) )
      [^\n]{0,200}
      (?: \. (?P<part> \w+ ) (?: \[ [^]\n]{0,80} \] )? \)?
        | getattr\( [^,\n]{1,80} , [ \t]* ["'] (?P<named> \w+ ) ["'] [^\n]{0,80} )
      [ \t]* :? [ \t]* (?: \# [^\n]{0,200} )? $"""
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
            for name, place in _calls(text, functions):
                found |= set(_through_function(text, name, place, whole=name in by_function))
        return frozenset(found)


def _found_in(text: str) -> _Found:
    found = _Found()
    places = list(_COMPUTED.finditer(text))
    for place, around in zip(places, _around(text, [place.start() for place in places]), strict=True):
        name = place["name"] or place["key"] or ""
        if name[:1] in "fF" and name[1:2] in ("'", '"'):
            pieces = re.split(r"\{[^}]*\}", name[2:])
            found.patterns |= {".*".join(map(re.escape, pieces))} if any(pieces) else set()
            continue
        for function, head in around:
            found.names |= set(_STRING.findall(head))
            found.functions |= {function} if function and not function.startswith("__") else set()
            found.by_function |= {function} if function and "__name__" in name else set()
    return found


def _around(text: str, places: Sequence[int]) -> Iterator[list[tuple[str, str]]]:
    """What each of some places stands in, in their order: functions, by name; loops and conditions, by their heads."""
    heads = _BLOCK.finditer(text) if places else iter(())
    head = next(heads, None)
    blocks: list[tuple[int, str, str]] = []
    for place in places:
        start = text.rfind("\n", 0, place) + 1
        while head is not None and head.start() < start:
            while blocks and blocks[-1][0] >= len(head[1]):
                blocks.pop()
            blocks.append((len(head[1]), head[2] or "", head[3] or ""))
            head = next(heads, None)
        line = text[start:place]
        indent = len(line) - len(line.lstrip())
        yield [(function, said) for depth, function, said in reversed(blocks) if depth < indent]


def _calls(text: str, functions: Collection[str]) -> Iterator[tuple[str, int]]:
    """The calls of some functions, with their places."""
    if len(functions) > _MANY:
        yield from ((call[1], call.start(1)) for call in _CALL.finditer(text) if call[1] in functions)
        return
    for name in functions:
        place = text.find(f"{name}(")
        while place != -1:
            if not (place and (text[place - 1].isalnum() or text[place - 1] == "_")):
                yield name, place
            place = text.find(f"{name}(", place + 1)


def _through_function(text: str, name: str, place: int, *, whole: bool) -> Iterator[str]:
    """What the call of a function names that sets what it is told; with `whole`, functions that it is given, too."""
    before = text[max(0, place - 4) : place]
    if before == "def ":
        return
    given = in_brackets(text, place + len(name))
    yield from named_in(given)
    yield from _WORD.findall(given) if whole else ()
    following = _DECORATED.search(text, place) if whole and before[-1:] == "@" else None
    yield from [following[1]] if following is not None else []


def _through_variables(text: str) -> Iterator[str]:
    """The attributes that variables hold by which something is changed, and what conditions around it name."""
    places = [found for found in _OTHER.finditer(text) if found[1] not in ("self", "cls")]  # in their order
    variables = {found[1] for found in places}
    for held in _HOLDING.finditer(text) if variables else ():
        if (held["each"] or held["one"]) in variables:
            yield held["part"] or held["named"]
    layers = [found.start(1) for found in places if _NOT_A_LIST.match(text, found.start(1)) is not None]
    yield from (name for around in _around(text, layers) for _, head in around for name in _STRING.findall(head))


def named_in(text: str) -> Iterator[str]:
    """The names in a call that something may be set by: strings, of dotted ones the last part, and keywords."""
    yield from _STRING.findall(text)
    yield from _KEYWORD.findall(text)


def in_brackets(text: str, start: int) -> str:
    """What stands in the brackets that open at a place, as far as it is looked at."""
    depth = 0
    for bracket in _BRACKET.finditer(text, start, start + _LONGEST):
        depth += 1 if bracket[0] == "(" else -1
        if not depth:
            return text[start + 1 : bracket.start()]
    return text[start + 1 : start + _LONGEST]
