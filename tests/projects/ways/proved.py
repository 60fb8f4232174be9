"""Ranks by what a library documents, by assertions in every branch, and by a run that was recorded."""

# ruff: noqa: E501 - programs in one line

from __future__ import annotations

import hashlib
import json

from tests.projects.ways import Way

HEAD = """\
import torch
import torch.nn.functional as F
from xformers.ops import memory_efficient_attention


"""
HEADS = """\
class Heads:
    def head_to_batch_dim(self, tensor, out_dim=3):
        b, n, h, d = tensor.shape
        tensor = tensor.transpose(1, 2)
        return tensor.reshape(b * h, n, d) if out_dim == 3 else tensor

    def reshape_heads_to_batch_dim(self, tensor):
        return self.head_to_batch_dim(tensor)
"""
MAIN = """\
from heads import Heads
from ops import attend


def run(q, k, v):
    return "fast", attend(q, k, v, Heads())
"""
FUNCTION = """\
def attend(q, k, v, attn):
    {}
    return memory_efficient_attention(q, k, v).sum(0)
"""


def table(*lines: str, before: str = "", after: str = "") -> dict[str, str]:
    text = FUNCTION.format("\n    ".join(lines))
    return {"ops.py": HEAD + before + text + after, "heads.py": HEADS, "main.py": MAIN}


def of_all(method: str, more: str = "") -> tuple[str, ...]:
    return tuple(f"{name} = attn.{method}({name}{more})" for name in "qkv")


TABLES = Way(
    "ops.py",
    accepted={
        "heads into the batch": table(*of_all("head_to_batch_dim")),
        "of the older release": table(*of_all("reshape_heads_to_batch_dim")),
        "four dimensions asked for": table(*of_all("head_to_batch_dim", ", out_dim=4")),
    },
    refused={
        "a number that nobody knows": table("n = len(q.shape)", *of_all("head_to_batch_dim", ", out_dim=n")),
        "another name": table(*of_all("to_batch")),
        "a function of the file": table(
            *(f"{name} = head_to_batch_dim({name})" for name in "qkv"), before="def head_to_batch_dim(x):\n    return x\n\n\n"
        ),
        "a class of the file": table(
            *of_all("head_to_batch_dim"), before="class Own:\n    def head_to_batch_dim(self, x):\n        return x\n\n\n"
        ) | {"main.py": MAIN},
        "given something else afterwards": table(*of_all("head_to_batch_dim"), "q, k, v = attn.other(q, k, v)"),
    },
)  # fmt: skip


def asserted(*lines: str) -> dict[str, str]:
    return table(*lines)


ASSERTIONS = Way(
    "ops.py",
    accepted={
        "before the call": asserted("assert q.ndim == 4"),
        "in both arms": asserted(
            "if attn is None:\n        assert q.ndim == 4\n    else:\n        a, b, c, d = q.shape"
        ),
        "one arm raises": asserted("if attn is None:\n        raise ValueError\n    else:\n        assert q.ndim == 4"),
    },
    refused={
        "in one arm": asserted("if attn is None:\n        assert q.ndim == 4"),
        "of another variable": asserted("assert attn.ndim == 4"),
        "before it is changed": asserted("assert q.ndim == 4", "q, k, v = attn.other(q, k, v)"),
        "of two numbers": asserted("assert q.ndim in (3, 4)"),
        "where it may be passed over": asserted(
            "try:\n        assert q.ndim == 4\n    except AssertionError:\n        pass"
        ),
        "not the same in both arms": asserted(
            "if attn is None:\n        assert q.ndim == 4\n    else:\n        assert q.ndim == 3"
        ),
        "of less than": asserted("assert q.ndim > 3"),
        "before other data is put in": asserted("assert q.ndim == 4", "q.data = attn.data"),
        "before it is given another shape": asserted("assert q.ndim == 4", "q.resize_(attn.sizes)"),
    },
)
RECORDED_FUNCTION = """\
def attend(q, k, v, attn, attn_bias=None):
    return memory_efficient_attention(q, k, v, attn_bias=attn_bias).sum(0)
"""
CASE = {"shape": "q 2×5×3×8, k 2×5×3×8", "mask": "none"}


def recorded(
    *cases: dict[str, str], calls: int = 3, text: str = RECORDED_FUNCTION, ran: str = "", call: str = "attend#0"
) -> dict[str, str]:
    """A project with the report of a run; `ran` is the function as it was then."""
    digest = hashlib.sha256((ran or text).rstrip().encode()).hexdigest()[:16]
    site = {"id": f"ops.py::{call}", "path": "ops.py", "calls": calls, "cases": list(cases), "function": digest}
    return {"ops.py": HEAD + text, "heads.py": HEADS, "main.py": MAIN, "run.json": json.dumps({"sites": [site]})}


RECORDED = Way(
    "ops.py",
    seen=True,
    accepted={
        "one case": recorded(CASE),
        "two cases of one rank": recorded(CASE, CASE | {"shape": "q 1×7×3×8, k 1×9×3×8"}),
        "no mask in the function": recorded(CASE, text=RECORDED_FUNCTION.replace(", attn_bias=None", "").replace(", attn_bias=attn_bias", "")),
    },
    refused={
        "the function has changed": recorded(CASE, ran=RECORDED_FUNCTION.replace("sum(0)", "sum(1)")),
        "two ranks": recorded(CASE, CASE | {"shape": "q 6×5×8, k 6×5×8"}),
        "a mask came": recorded(CASE, CASE | {"mask": "causal"}),
        "inputs that were made up": recorded(CASE, calls=0),
        "another call": recorded(CASE, call="attend#1"),
        "no case": recorded(),
    },
)  # fmt: skip
