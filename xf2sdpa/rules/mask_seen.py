"""A recorded run as evidence: what `--seen FILE` says that a program never passed is left out, behind a check.

`xf2sdpa verify PATHS --json FILE -- python train.py` records what came to each call. Where no mask came, and the
function has not changed since, the call is written without one; a run shows what was, not what may be, so that is an
assumption, and before the call stands `if attn_bias is not None: raise NotImplementedError(…)`. The rank of query, key
and value is taken from there in the same way (see the rule `rank`).
"""

from __future__ import annotations

import ast

from xf2sdpa.analysis.values import Unknown
from xf2sdpa.codes import OUTDATED_RUN
from xf2sdpa.model import Assumption, Way
from xf2sdpa.rulekit.checks import leave_out_mask
from xf2sdpa.rulekit.draft import CallDraft, FileDraft
from xf2sdpa.rulekit.recorded import recorded_at, seen_at
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.MASK
AFTER = ("mask_never_passed",)
CODES = {OUTDATED_RUN: "a recorded run that does not count, as the function has changed since"}
EXAMPLES = (
    Example(
        """\
import xformers.ops as xops


def attend(x, b, n, h, attn_bias=None):
    q = x.view(b, n, h, -1)
    return xops.memory_efficient_attention(q, q, q, attn_bias=attn_bias)
"""
    ),
)


def decide(draft: CallDraft) -> None:
    """Leave out a mask that no recorded run saw, behind a check."""
    seen, node = seen_at(draft), draft.argument("attn_bias")
    if seen is None or seen.masked or "attn_bias" in draft.settled:
        return
    if not isinstance(node, ast.Name) or not isinstance(draft.site.bias, Unknown):
        return
    assumption = Assumption(f"no {node.id} comes here, as none did in the recorded run", Way.RUN)
    leave_out_mask(draft, node, "none came in the recorded run", assumption)


def finish(file: FileDraft) -> None:
    """Tell of runs that were recorded with another text of the function."""
    for site in file.sites:
        draft = CallDraft(file, site)
        if recorded_at(draft) is not None and seen_at(draft) is None:
            message = "the recorded run is of another text of this function, and does not count"
            file.report(site.node, OUTDATED_RUN, message, "Record it again: `xf2sdpa verify --json FILE -- …`.")
