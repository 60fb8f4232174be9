"""Times that are taken when the program is done."""

from __future__ import annotations

import subprocess
import sys

AT_EXIT = """
import atexit
import sys

import torch
import torch.nn.functional as F

from xf2sdpa.judging.probe import Probe
from xf2sdpa.verify.shadow import sampling
from xf2sdpa.verify.shadow.aftermath import Kept, measured


def old(operator, q, k, v):
    return operator(q, k, v)


def attend(q, k, v):
    return F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v))).transpose(1, 2)


def late():
    for _, times, why_not in measured([call], budget=5.0):
        print(sorted({"old", "new"} & {one.path for one in times}), why_not)


q = torch.randn(2, 8, 4, 16, requires_grad=True)
call = Kept(0, Probe("a site", old, attend, attend, roles=("query", "key", "value")), [q, q, q])
atexit.register(late)
assert "concurrent.futures.process" not in sys.modules, "what this is to show would not be shown"
"""


def test_they_are_taken_where_python_refuses_to_load_what_must_know_of_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", AT_EXIT], capture_output=True, text=True, check=False)
    assert done.stdout == "['new', 'old'] \n", done
