"""Layers, methods and functions that files of a project put something else in the place of, from outside.

`block.norm = nn.Identity()`, `ops.turn = turn_half`, `setattr(block, "norm", other)`, `block.norm.append(layer)`: told
by the name alone, whatever the object is, as only a run would show that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_SET = re.compile(
    r"""(?x) \. (\w+) (?:
      [ \t]* (?: : [^=\n]{1,80} )? = (?!=)
    | (?P<together> (?= [ \t]* , [^\n=()]* = (?!=) ) )
    | \[ [^]\n]* \] [ \t]* = (?!=)
    | \. (?: append | extend | insert | pop | add_module | register_module | __setitem__
           | register_forward_hook | register_forward_pre_hook ) \(
    | \. (?: forward | __call__ | __class__ ) [ \t]* = (?!=) )"""
)
"""An attribute that is set, alone or together with others, or what is done to a layer that changes what it does."""
_NAMING = (
    *("setattr(", "delattr(", ".__setattr__(", "patch(", "patch.object(", "vars("),
    *(".add_module(", ".register_module(", "._modules[", ".__dict__["),
)
_NAMED = re.compile(r"""[^"'\n]*\n?[^"'\n]*["'](?:\w+\.)*(\w+)["']""")
"""The first string behind one of these."""
_SELF = re.compile(r"(?:^|[^\w.])(?:self|cls)$")


class SetElsewhere:
    """Names that each file sets behind a dot that is not that of `self`.

    Args:
        texts: the text of each file.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._by_file = {file: frozenset(_set_in(text)) for file, text in texts.items()}

    def of(self, file: str) -> frozenset[str]:
        """What the others may set of a file."""
        return frozenset().union(*(names for other, names in self._by_file.items() if other != file))


def _set_in(text: str) -> Iterator[str]:
    for found in _SET.finditer(text):
        start = found.start()
        in_a_call = found["together"] is not None and "(" in text[text.rfind("\n", 0, start) + 1 : start]
        if not (in_a_call or _of_self(text, start)):
            yield found[1]
    for word in _NAMING:
        place = text.find(word)
        while place != -1:
            named = _NAMED.match(text, place + len(word))
            if named is not None and not _of_self(text, place):
                yield named[1]
            place = text.find(word, place + 1)


def _of_self(text: str, dot: int) -> bool:
    """Whether what stands before a dot is `self` alone."""
    return _SELF.search(text[max(0, dot - 5) : dot]) is not None
