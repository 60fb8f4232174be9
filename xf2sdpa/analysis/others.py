"""What other files of the project change of what one file shows: by names, as only a run would show the objects."""

from __future__ import annotations

from dataclasses import dataclass

ANY = "*"
"""Among names: there may be any others."""


@dataclass(frozen=True)
class Others:
    """What the walk over one file is told of the others; nothing, where the file is all there is."""

    overridden: frozenset[tuple[str, str]] = frozenset()
    """Classes of this file, each with a method or attribute that a class which derives from it elsewhere has anew."""
    parts: frozenset[str] = frozenset()
    """Attributes, methods and functions that something else is put in the place of: `block.norm = nn.Identity()`."""
    of_ranks: frozenset[str] = frozenset()
    """Functions that change the rank of a tensor which they are given, in place; `ANY` if they may get here unnamed."""
    operations: frozenset[str] = frozenset()
    """Operations of tensors that classes have for themselves: `x.view(…)` may be one of theirs."""
