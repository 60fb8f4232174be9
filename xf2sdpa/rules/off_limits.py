"""Tests and benchmarks that hold xformers against something else are left.

Rewriting would make both sides the same: the test could not fail any more, the benchmark would race SDPA against
itself. Such a file lies among tests or benchmarks and calls another attention, or checks or times results. A file that
puts another operator in the place of xformers' (`xops.memory_efficient_attention = mine`, `setattr`, `mock.patch`) is
left as well: the calls of libraries that it is done for need `xf2sdpa.compat.install()`, no change here. One that works
with xformers' private parts gets no helper: those parts take xformers' own mask objects only.
"""

from __future__ import annotations

from xf2sdpa.model import FindingKind
from xf2sdpa.rulekit.draft import CallDraft, FileDraft, Refusal
from xf2sdpa.rulekit.off_limits import is_comparison, is_off_limits, replacements
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.SCOPE
AFTER = ("old_torch_arm",)
CODES = {
    "XF214": "a test or benchmark that compares xformers with something else",
    "XF216": "xformers' operator is replaced in place",
}
_REPLACED = (
    "Decide by hand what it should replace now. Calls that a library makes by itself go to torch once "
    "`xf2sdpa.compat.install()` stands in for xformers."
)
EXAMPLES = (
    Example(
        """\
import xformers.ops as xops


def run(q, k, v):
    return xops.memory_efficient_attention_forward(q, k, v)
"""
    ),
)


def decide(draft: CallDraft) -> None:
    """Refuse every call of such a file."""
    if not is_off_limits(draft.file):
        return
    if is_comparison(draft.file):
        message = "this file compares xformers with something else, and a rewrite would make both equal"
        raise Refusal("XF214", message, "Once the code under test no longer uses xformers, delete the comparison.")
    message = "this file puts another operator in the place of xformers'"
    raise Refusal("XF216", message, _REPLACED)


def finish(file: FileDraft) -> None:
    """Name each place where something is put in the place of xformers' operator."""
    for node in replacements(file):
        message = "something else is put in the place of xformers' operator here"
        file.report(node, "XF216", message, _REPLACED, FindingKind.KEEPS)
