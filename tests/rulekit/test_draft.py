"""What is asked of a file."""

from __future__ import annotations

from xf2sdpa.edits.kinds import ReplaceStatement
from xf2sdpa.rewrite.decide import _opened
from xf2sdpa.rewrite.options import Options
from xf2sdpa.settings import Settings


def test_what_two_rules_ask_for_is_done_once() -> None:
    file = _opened("import xformers.ops\nx = 1\n", "model.py", Options(Settings()), probes_stay=False)
    statement = file.tree.body[0]
    assert [file.ask(ReplaceStatement(statement), code) for code in ("XF140", "XF143")] == [True, True]
    assert [request.code for request in file.requests] == ["XF140"]
