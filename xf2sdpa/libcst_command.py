"""The rewrite as a LibCST codemod command, one file at a time and without a helper module.

python -m libcst.tool codemod --no-format -x xf2sdpa.libcst_command.RewriteAttention src/
"""

from __future__ import annotations

import libcst as cst
from libcst.codemod import CodemodCommand

from xf2sdpa.rewrite.engine import rewrite_text


class RewriteAttention(CodemodCommand):
    """Rewrites the calls of one file; a file that cannot be rewritten gives a warning and stays as it was."""

    DESCRIPTION = "Rewrite xformers' memory_efficient_attention into torch's scaled_dot_product_attention."

    def transform_module_impl(self, tree: cst.Module) -> cst.Module:
        """The rewritten module."""
        result = rewrite_text(tree.code, self.context.filename or "<string>")
        for finding in result.findings:
            if finding.is_error:
                self.warn(f"{finding.code}: {finding.message}")
        return cst.parse_module(result.new, tree.config_for_parsing) if result.changed else tree
