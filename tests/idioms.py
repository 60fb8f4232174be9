"""What people write, one row each, and which fixture stands for it: `python -m tests.idioms`.

Prints the rows without a fixture, and the ids in fixtures that are no row. Exit status 1 if a row has none that is not
tested elsewhere, or an id is unknown. `--all` prints every row with its fixtures.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass

from tests.cases import all_cases

PROJECTS = "tests/run, tests/kinds, tests/compat"  # the helper module, masks as objects, guards, whole projects
OTHERS = "tests/rules, tests/uninstall, tests/run"  # what is no attention call in a Python file


@dataclass(frozen=True)
class Row:
    """One way in which real code uses xformers; `elsewhere` names what tries it out, if no fixture does."""

    id: str
    text: str
    elsewhere: str = ""


ROWS = (
    # How the rank of q, k and v can be seen
    Row("rank/4d-view", "each projection `.view`ed to batch, length, heads, width"),
    Row("rank/4d-unbind", "a fused projection reshaped to five dimensions and unbound"),
    Row("rank/4d-einops", "an einops pattern that ends in `b n h d`"),
    Row("rank/4d-permute", "a fused projection permuted, then indexed"),
    Row("rank/4d-heads-first-transposed", "heads first, transposed only because xformers wants it"),
    Row("rank/4d-map-lambda", "`q, k, v = map(lambda t: …, (q, k, v))` to 4-D"),
    Row("rank/4d-comprehension", "a comprehension over the three"),
    Row("rank/4d-helper-method", "a method of the same class makes the heads"),
    Row("rank/3d-permute-reshape", "heads folded into the batch by permute and reshape"),
    Row("rank/3d-einops", "an einops pattern with `(b h)`, or pixels as a sequence"),
    Row("rank/3d-map-lambda", "the same inside a `map(lambda …)`"),
    Row("rank/3d-helper-method", "a method of the same class folds the heads into the batch"),
    Row("rank/3d-helper-foreign", "a method of another object does it, unseen"),
    Row("rank/loop", "a loop over the tensors fills a list"),
    Row("rank/branch", "branches that agree on the rank, or do not"),
    Row("rank/rotary-helper", "a rotary helper in between that keeps the rank"),
    Row("rank/shape-unpacked", "`b, n, h, d = q.shape` of a parameter"),
    Row("rank/wrapper", "q, k and v are parameters and nothing shows their rank"),
    Row("rank/opaque-layout", "a table of lambdas by mode"),
    Row("rank/f-string-einops", "a pattern put together when it runs"),
    Row("rank/5d-grouped", "grouped queries, five dimensions"),
    Row("rank/output-unsqueeze", "the result is taken apart again by unsqueeze, reshape and permute"),
    Row("rank/probe", "a trial call on random literals inside a try, to see if it works", PROJECTS),
    Row("rank/heads-first-fed", "heads-first tensors given as they are: attention over heads"),
    # The bias
    Row("masks/none", "no mask argument"),
    Row("masks/literal-none", "`attn_bias=None`"),
    Row("masks/parameter", "a parameter of unknown kind"),
    Row("masks/parameter-reassigned", "the same, expanded or padded on the way"),
    Row("masks/attribute", "an attribute or a subscript"),
    Row("masks/of-a-cache", "one mask or another, depending on a cache"),
    Row("masks/causal", "the lower triangle, plain"),
    Row("masks/causal-conditional", "the lower triangle or None, in one expression"),
    Row("masks/causal-if-else", "the lower triangle or None, by branches or over a default"),
    Row("masks/block-diagonal", "sequences packed into one"),
    Row("masks/block-diagonal-conditional", "the same under a condition, perhaps made causal"),
    Row("masks/tensor-built", "a tensor made in the function"),
    Row("masks/tensor-padded-slice", "a tensor padded to a multiple of 8 and cut back"),
    Row("masks/bottom-right", "causal from the bottom right"),
    Row("masks/made-in-another-file", "made in one module, used and split in another", PROJECTS),
    Row("masks/isinstance", "`isinstance(mask, …)` chooses the path", PROJECTS),
    Row("masks/annotation", "mask classes in annotations only", PROJECTS),
    Row("masks/local-window", "local windows, causal or not", PROJECTS),
    # The call
    Row("calls/full-path", "`xformers.ops.memory_efficient_attention`"),
    Row("calls/xops", "`xops.memory_efficient_attention`"),
    Row("calls/bare", "the bare name"),
    Row("calls/fmha", "through the module `fmha`"),
    Row("calls/forward-only", "the variant without a gradient"),
    Row("calls/renamed", "imported under another name"),
    Row("calls/three-positional", "three positional arguments and no more"),
    Row("calls/multi-line", "over several lines, with comments"),
    Row("args/bias-positional", "the bias by position"),
    Row("args/p-scale-positional", "dropout and scale by position"),
    Row("args/all-keyword", "all by keyword"),
    Row("args/double-star", "keywords from a dict"),
    Row("args/op-attribute", "`op=self.attention_op`"),
    Row("args/op-classes", "operator classes by name"),
    Row("args/op-none", "`op=None`"),
    Row("args/op-call", "an operator picked by a call, which may have effects"),
    Row("args/p", "`p=`"),
    Row("args/p-of-a-module", "`p=` of a dropout module, on in eval mode too"),
    Row("args/scale", "`scale=`"),
    Row("args/slices", "slices as arguments"),
    Row("args/cast-in-the-call", "`.to(q)` in an argument"),
    Row("args/same-tensor", "one tensor three times"),
    Row("args/list-items", "items of a list that is emptied afterwards"),
    Row("calls/value-assigned", "the function as a value: in a name or a table"),
    Row("calls/value-compared", "the function compared with None"),
    Row("calls/value-passed", "the function handed to a timer with its arguments"),
    Row("calls/value-from-another-file", "the function imported from a file that assigned it", PROJECTS),
    Row("calls/op-replaced", "the op itself replaced by another function", PROJECTS),
    Row("calls/other-library", "another library's function of that name"),
    Row("calls/local-function", "a function of the file of that name"),
    Row("calls/method-of-that-name", "a method of that name, or nearly"),
    Row("calls/rebound", "a name that means something else by then"),
    Row("calls/commented-out", "a call in a comment"),
    Row("calls/in-a-string", "a call in a string"),
    # What becomes of the result
    Row("result/reshape", "reshaped"),
    Row("result/view", "viewed, which a transposed result does not allow"),
    Row("result/view-as", "viewed as something else"),
    Row("result/flatten", "flattened"),
    Row("result/rearrange", "rearranged by einops"),
    Row("result/transpose", "transposed back to heads first"),
    Row("result/to-dtype", "cast, then used"),
    Row("result/linear", "into a linear layer"),
    Row("result/return", "returned"),
    Row("result/attribute", "kept as an attribute"),
    # The dtype
    Row("dtype/half-cast", "cast to half before the call"),
    Row("dtype/upcast", "cast up to float32 before the call, perhaps under a condition"),
    Row("dtype/parameters", "tensors of the caller: nothing is known"),
    # How the file names torch's functions
    Row("naming/functional-alias", "by an alias of torch.nn.functional"),
    Row("naming/from-torch-nn", "`from torch.nn import functional as F`"),
    Row("naming/full-path", "by the full path"),
    Row("naming/nn-functional", "through `torch.nn`"),
    Row("naming/bare", "the function itself is imported"),
    Row("naming/shadowed", "the alias is a local variable"),
    Row("naming/new-import", "nothing names torch"),
    # Imports
    Row("imports/plain-package", "`import xformers` (and `import xformers.ops`)"),
    Row("imports/plain-ops", "`import xformers.ops`"),
    Row("imports/xops-alias", "`import xformers.ops as xops`"),
    Row("imports/from-xformers-ops-as", "`from xformers import ops as xops`"),
    Row("imports/from-op", "the function by name"),
    Row("imports/from-op-renamed", "the function under another name"),
    Row("imports/from-op-and-more", "the function and others, in brackets"),
    Row("imports/from-fmha", "`from xformers.ops import fmha`"),
    Row("imports/fmha-alias", "the module fmha under a name, even that of the package"),
    Row("imports/from-fmha-attn-bias", "mask classes from their module"),
    Row("imports/package-alias", "the package under the name of its part"),
    Row("imports/mslk", "`mslk.attention.fmha`"),
    Row("imports/swiglu", "something that is no attention"),
    Row("imports/getattr", "a module still reached by getattr"),
    Row("imports/unbind", "`xformers.ops.unbind`", PROJECTS),
    Row("imports/indexed-add", "`scaled_index_add`, `index_select_cat`", PROJECTS),
    Row("imports/private", "private names, contexts, backward by hand", PROJECTS),
    Row("imports/profiler", "the profiler, a loss", PROJECTS),
    # Guards
    Row("guards/none", "no guard"),
    Row("guards/try-flag", "try, except ImportError, a flag"),
    Row("guards/bare-except", "the same with a bare except"),
    Row("guards/try-with-more", "a try that guards other imports too"),
    Row("guards/inside-a-function", "imported inside a function"),
    Row("guards/script-switch", "in a training script, with a version check and a warning", PROJECTS),
    Row("guards/else-none", "`if is_xformers_available(): import … else: … = None`", PROJECTS),
    Row("guards/environment", "an environment variable, then a try", PROJECTS),
    Row("guards/find-spec", "`find_spec`, a version from the metadata, `not in globals()`", PROJECTS),
    Row("guards/flag-in-another-file", "the flag is read in another file", PROJECTS),
    Row("guards/super-forward", "without the flag, the parent's forward runs", PROJECTS),
    # Around it
    Row("around/ignore-comment", "a line marked `# xf2sdpa: ignore`"),
    Row("around/diffusers-switch", "methods that switch xformers on or off", OTHERS),
    Row("around/diffusers-processor", "attention processor classes", OTHERS),
    Row("around/notebook", "calls and install lines in notebooks", OTHERS),
    Row("around/requirements", "requirement files of every kind", OTHERS),
    # The text itself
    Row("text/crlf", "Windows newlines"),
    Row("text/no-final-newline", "no newline at the end"),
    Row("text/tabs", "tabs"),
)


def fixtures_by_row() -> dict[str, list[str]]:
    """Row id → names of the fixtures that say they stand for it."""
    found = defaultdict(list)
    for case in all_cases():
        for row in case.idioms:
            found[row].append(case.name)
    return dict(found)


def main(arguments: list[str]) -> int:
    """Print what is missing, or everything."""
    found = fixtures_by_row()
    missing = [row for row in ROWS if row.id not in found]
    unknown = sorted(found.keys() - {row.id for row in ROWS})
    for row in ROWS if "--all" in arguments else missing:
        print(f"{row.id:34} {', '.join(found.get(row.id, [row.elsewhere or 'NO FIXTURE']))}  ({row.text})")
    for name in unknown:
        print(f"{name:34} is no row, but named in {', '.join(found[name])}")
    open_rows = [row for row in missing if not row.elsewhere]
    print(f"{len(ROWS)} rows, {len(ROWS) - len(missing)} with a fixture, {len(missing) - len(open_rows)} elsewhere")
    return 1 if open_rows or unknown else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
