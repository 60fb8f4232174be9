"""What an earlier run guarded takes torch's own SDPA again, once no torch that the project admits needs the guard.

The helper's `scaled_dot_product_attention` has torch's parameters and does the same, save in cuDNN's NaN corner, which
torch 2.11 to 2.14 have (XF302). Where the project's files admit none of these any more, the import takes the name from
`torch.nn.functional`, the calls stay as they are, and a helper that nothing else needs goes. `nan-guard = "off"` asks
for the same, `"on"` keeps the guard.
"""

from __future__ import annotations

import ast

from xf2sdpa.helper.text import MODULE_NAME, PACKAGE_NAME
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.spelling import SDPA
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.IMPORTS
CODES = {"XF151": "SDPA comes from torch again, as no torch that the project admits needs the guard"}
EXAMPLES = (
    Example(
        """\
from torch.nn.functional import scaled_dot_product_attention


def attend(q, k, v, mask):
    return scaled_dot_product_attention(q, k, v, attn_mask=mask)
"""
    ),
)


def finish(file: FileDraft) -> None:
    """Take the name from torch in each import that takes it from the helper."""
    wish = file.settings.nan_guard
    if wish == "on" or (wish == "auto" and file.plain_masks != ""):
        return
    for statement in file.names.imports:
        if not isinstance(statement, ast.ImportFrom) or file.is_gone(statement) or not _is_helper(statement):
            continue
        ours = [alias for alias in statement.names if alias.name == SDPA]
        others = [alias for alias in statement.names if alias.name != SDPA]
        if ours:
            lines = [ast.unparse(ast.ImportFrom("torch.nn.functional", ours, 0))]
            lines += [ast.unparse(ast.ImportFrom(statement.module, others, statement.level))] if others else []
            file.replace(statement, "\n".join(lines), "XF151", keeping=others)


def _is_helper(statement: ast.ImportFrom) -> bool:
    module = statement.module or ""
    return module == PACKAGE_NAME or module.rpartition(".")[2] == MODULE_NAME
