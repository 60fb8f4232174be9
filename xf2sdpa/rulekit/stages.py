"""When a rule looks: the stages of a file's way, in their order.

The first five look at one call after the other, until one of their rules refuses it; the others at the whole file,
once all its calls are decided. Within a stage a rule names those that must have looked before it.
"""

from __future__ import annotations

import enum


class Stage(enum.IntEnum):
    """What is settled when."""

    SCOPE = enum.auto()
    """Calls that no rule may touch, and calls that go altogether."""
    INPUTS = enum.auto()
    """Query, key and value: rank, layout, dtype."""
    MASK = enum.auto()
    """`attn_bias`."""
    OPTIONS = enum.auto()
    """The other arguments."""
    RESULT = enum.auto()
    """What is done with the result, and transposes that cancel."""
    NAMES = enum.auto()
    """Uses of xformers' names besides calls."""
    QUESTIONS = enum.auto()
    """Questions about the installed release."""
    GUARDS = enum.auto()
    """`try` and `if` around imports."""
    IMPORTS = enum.auto()
    """Import statements."""
    LEFTOVERS = enum.auto()
    """What still asks for xformers, or reaches it by a way that is not followed."""
    TIDYING = enum.auto()
    """What is idle now."""
