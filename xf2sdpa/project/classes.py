"""The classes of a project, found in the texts: their bases and members by name.

A class of a large project may have hundreds that derive from it, and to parse the files of all of them takes longer
than all else that is asked of a project. So these are words: `base` of `module.base[T]`, and the others that stand
there, count as bases, and whatever a class's text seems to define or set counts as its member. A base under another
name counts under both.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from xf2sdpa.analysis.others import ANY

_HEAD = re.compile(r"^([ \t]*)class[ \t]+(\w+)[ \t]*", re.MULTILINE)
"""A class's indentation and its name."""
_BRACKET = re.compile(r"[()]|#[^\n]*")
_PARAMETERS = re.compile(r"def[ \t]+\w+\(([^)]{0,2000})")
_MOST_FUNCTIONS = 100
"""Functions above a class that are looked at for the one around it."""
_COMMENT = re.compile(r"#[^\n]*")
_WORD = re.compile(r"\w+")
_DEF = re.compile(r"def[ \t]+(\w+)")
_METHOD = re.compile(r"\bdef[ \t]+(\w+)|^[ \t]+(\w+)[ \t]*(?::[^=\n]*)?=(?!=)", re.MULTILINE)
"""A method, and a variable of the class's body (or of a method's, which does no harm)."""
ADDING = r"append|extend|insert|pop|add_module|register_module|register_forward_hook|register_forward_pre_hook"
"""Methods, as a pattern, that change what a layer, or a container of layers, does when it is called."""
_OF_SELF = re.compile(
    rf"""(?x) self \. (?! _modules\b | __dict__\b ) (\w+)
      (?: (?= [ \t]* (?: [:,] [^=\n()]* )? \)? [ \t]* = (?!=) )
        | \[ [^]\n]* \] [ \t]* = (?!=)
        | \. (?: {ADDING} ) \(
        | \. (?: forward | __call__ | __class__ ) [ \t]* = (?!=) )"""
)
"""An attribute that is set, alone or together with others, or what is done to one that changes what it does."""
_OTHERWISE = re.compile(
    r"""(?x) \b cls \. (\w+) [ \t]* = (?!=)
    | \b (?: for | as ) [ \t]+ self \. (\w+)
    | (?: \. (?: add_module | register_module | __setattr__ ) \( | \b setattr\( \s* self ,
        | \. (?: _modules | __dict__ ) \[ ) \s* ["'] (\w+)"""
)
"""The same in other ways: of the class, in a loop, by its name."""
_OTHER_WORDS = ("cls.", "for self.", "as self.", "_module(", "setattr", "_modules[", "__dict__[")
_OPEN = re.compile(
    r"""(?x)
      \b setattr\( \s* (?: self | cls ) \s* , (?! \s* [fr]? ["'] )
    | \b self \. (?: __dict__ \. update\b | (?: __dict__ | _modules ) \[ (?! ["'] ) [^]\n]* \] [ \t]* = )
    | \b def [ \t]+ __ (?: setattr | getattribute | getattr ) __"""
)
"""A class in which an attribute may be any value: its name is computed, or reading and setting mean something else."""
_OPEN_WORDS = ("setattr", "__dict__", "_modules", "getattr")
_MADE = re.compile(
    r"""(?x) \b type\( \s* (?: [fr]? ["'] (\w*) [^"'\n]* ["'] | [^,()"'\n]+ ) , \s* \( ([^()]*) \) , \s*
      ( \{ [^}]* \} | dict\( [^)]* \) | \w+ )"""
)
"""A class that is made by a call: its name, its bases, its members."""
_KEY = re.compile(r"""["'](\w+)["'][ \t]*:|\b(\w+)[ \t]*=(?!=)""")
PLAIN = frozenset({"object", "Module", "ABC", "Generic", "Protocol", "nn", "torch", "typing", "abc", "metaclass"})
"""Words among bases that stand for no class of a project."""


@dataclass(frozen=True, eq=False)
class Class:
    """One class: its file, its name, the words among its bases, and where its body begins, how far indented.

    Among the bases is `ANY` where one is a parameter of a function. `made` holds the members of one made by a call.
    """

    file: str
    name: str
    bases: frozenset[str]
    start: int
    indent: int
    made: str = ""


class Classes:
    """All classes of some files.

    Args:
        texts: the text of each file.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._members: dict[Class, frozenset[str]] = {}
        self._attributes: dict[Class, frozenset[str]] = {}
        self._changed: dict[Class, frozenset[str]] = {}
        self._bodies: dict[Class, str] = {}
        self._all = [klass for file, text in texts.items() for klass in _classes_in(file, text)]

    @cached_property
    def by_file(self) -> Mapping[str, list[Class]]:
        """The classes of each file that has some."""
        return _grouped((klass.file, klass) for klass in self._all)

    @cached_property
    def named(self) -> Mapping[str, list[Class]]:
        """The classes of each name."""
        return _grouped((klass.name, klass) for klass in self._all)

    @cached_property
    def derived(self) -> Mapping[str, list[Class]]:
        """The classes that derive from one of a name."""
        return _grouped((base, klass) for klass in self._all for base in klass.bases)

    def members(self, klass: Class) -> frozenset[str]:
        """The methods of a class, what its body binds besides, and what its methods set of `self`; perhaps `ANY`."""
        if klass not in self._members:
            self._members[klass] = self.methods(klass) | self.attributes(klass)
        return self._members[klass]

    def methods(self, klass: Class) -> frozenset[str]:
        """The methods of a class, and what its body binds besides."""
        if klass.made:
            keys = frozenset(next(filter(None, found)) for found in _KEY.findall(klass.made))
            return keys if klass.made[-1] in "})" else frozenset({ANY})
        return frozenset(next(filter(None, found)) for found in _METHOD.findall(self._body(klass)))

    def attributes(self, klass: Class) -> frozenset[str]:
        """What the methods of a class set of `self`; `ANY` among it where that may be anything."""
        if klass not in self._attributes:
            self._attributes[klass] = self._set_in(klass)
        return self._attributes[klass]

    def changed(self, klass: Class) -> frozenset[str]:
        """The methods of a class, and the attributes of `self` that methods other than `__init__` set."""
        if klass not in self._changed:
            body = self._body(klass)
            heads = [(head.start(), head[1]) for head in _DEF.finditer(body)]
            places = [place for place, _ in heads]
            found = {name for _, name in heads}
            for attribute in _OF_SELF.finditer(body):
                around = bisect(places, attribute.start()) - 1
                found |= {attribute[1]} if around >= 0 and heads[around][1] != "__init__" else set()
            self._changed[klass] = frozenset(found)
        return self._changed[klass]

    def _set_in(self, klass: Class) -> frozenset[str]:
        body = self._body(klass)
        found = set(_OF_SELF.findall(body))
        if any(word in body for word in _OTHER_WORDS):
            found.update(next(filter(None, names)) for names in _OTHERWISE.findall(body))
        if any(word in body for word in _OPEN_WORDS) and _OPEN.search(body) is not None:
            found.add(ANY)
        return frozenset(found)

    def _body(self, klass: Class) -> str:
        if klass not in self._bodies:
            text = self._texts[klass.file]
            after = re.compile(rf"^[ \t]{{0,{klass.indent}}}(?![ \t\r\n#)\]}}])", re.MULTILINE)
            end = after.search(text, text.find("\n", klass.start) + 1)
            self._bodies[klass] = text[klass.start : end.start() if end is not None else len(text)]
        return self._bodies[klass] if not klass.made else ""

    def below(self, name: str) -> Iterator[Class]:
        """The classes, in any file, that derive from one of a name, directly or by others between."""
        known = [name]
        for base in known:  # grows
            for klass in self.derived.get(base, ()):
                known += [klass.name] if klass.name not in known else []
                yield klass


def _classes_in(file: str, text: str) -> Iterator[Class]:
    bases = _Bases(text)
    for head in _HEAD.finditer(text) if "class" in text else ():
        end = _end_of_bases(text, head.end())
        words = frozenset(_WORD.findall(_COMMENT.sub("", text[head.end() : end])))
        meant = {other for word in words - PLAIN for other in bases.meant_by(word)}
        given = {ANY} if head[1] and (words - PLAIN) & _parameters_around(text, head.start(), len(head[1])) else set()
        yield Class(file, head[2], words | meant | given, end, len(head[1]))
    for made in _MADE.finditer(text) if "type(" in text else ():
        yield Class(file, made[1] or "", frozenset(_WORD.findall(made[2])), made.start(3), 0, made[3])


class _Bases:
    """What else the words among the bases of a text's classes may be, by imports and assignments."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._known: dict[str, set[str]] = {}

    def meant_by(self, word: str) -> set[str]:
        """What a word may stand for."""
        if word not in self._known:
            self._known[word] = set(self._bound_to(word))
        return self._known[word]

    def _bound_to(self, word: str) -> Iterator[str]:
        if f" as {word}" in self._text:
            yield from re.findall(rf"(\w+)[ \t]+as[ \t]+{word}\b", self._text)
        if f"{word} =" in self._text:
            lines = re.findall(rf"^[ \t]*{word}[ \t]*=(?!=)(.*)", self._text, re.MULTILINE)
            yield from (found for line in lines for found in _WORD.findall(line))


def _parameters_around(text: str, place: int, indent: int) -> set[str]:
    """The words among the parameters of the function that a class stands in."""
    for _ in range(_MOST_FUNCTIONS):
        place = text.rfind("def ", 0, place)
        if place == -1:
            break
        head = text[text.rfind("\n", 0, place) + 1 : place]
        listed = _PARAMETERS.match(text, place)
        if listed is not None and len(head) - len(head.lstrip()) < indent:
            return set(_WORD.findall(listed[1]))
    return set()


def _end_of_bases(text: str, start: int) -> int:
    """Where the bracket closes that opens at a place; that place if none does."""
    depth = 0
    for bracket in _BRACKET.finditer(text, start) if text.startswith("(", start) else ():
        depth += {"(": 1, ")": -1}.get(bracket[0], 0)
        if not depth:
            return bracket.end()
    return start


def _grouped(pairs: Iterator[tuple[str, Class]]) -> dict[str, list[Class]]:
    found: dict[str, list[Class]] = {}
    for key, klass in pairs:
        found.setdefault(key, []).append(klass)
    return found
