"""A program that hides xformers, `sys.modules["xformers"] = None`, makes later imports of it fail, and is named.

People do so to take the slower path, or to try it in a test. A guard in the same file goes on seeing it, so it stays;
one that is rewritten in another file does not: SDPA runs there all the same, which needs no xformers.
"""

from __future__ import annotations

from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.gates import hides_package
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.LEFTOVERS
CODES = {"XF409": "xformers is hidden from what is imported behind this"}
EXAMPLES = (
    Example(
        """\
import sys

import net


def without_xformers(monkeypatch):
    monkeypatch.setitem(sys.modules, "xformers", None)
"""
    ),
)
_MESSAGE = "this hides xformers from what is imported behind it: guards that are rewritten no longer see that"
_ADVICE = "Give the choice a flag of its own, if the path without xformers is still wanted; a test of it can go."


def finish(file: FileDraft) -> None:
    """Name each place, in a project whose calls are rewritten."""
    if file.migrating or file.migrated:
        for node in hides_package(file):
            file.report(node, "XF409", _MESSAGE, _ADVICE)
