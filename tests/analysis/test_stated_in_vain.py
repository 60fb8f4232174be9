"""Shapes that are stated where it proves nothing for a call: it may run, with another number of dimensions, all the same.

Three dimensions turned over like four give other numbers without an error; so the call needs a check, or the helper.
"""

# ruff: noqa: E501 - programs in one line

from __future__ import annotations

import pytest

from xf2sdpa.rewrite.engine import rewrite_text

HEAD = """\
import contextlib

import torch
import torch.nn.functional as F
from xformers.ops import memory_efficient_attention as attend


"""
STATED = "a, b, c, d = q.shape"
CALL = "attend(q, k, v).sum()"
VAIN = {
    "after a yield": f"def f(q, k, v):\n    yield {CALL}\n    {STATED}\n",
    "after a bare yield": f"def f(q, k, v):\n    o = {CALL}\n    yield\n    {STATED}\n    return o\n",
    "in two tries, after the call": (
        f"def f(q, k, v):\n    try:\n        try:\n            o = {CALL}\n            {STATED}\n        except ValueError:\n"
        "            pass\n    except KeyError:\n        pass\n    return o\n"
    ),
    "in suppress": f"def f(q, k, v):\n    with contextlib.suppress(ValueError):\n        {STATED}\n    return {CALL}\n",
    "in a manager from elsewhere": (
        f"from tools import trying\ndef f(q, k, v):\n    with trying('shapes'):\n        {STATED}\n    return {CALL}\n"
    ),
    "in a manager that is handed in": f"def f(q, k, v, c):\n    with c:\n        {STATED}\n    return {CALL}\n",
    "in an ExitStack": f"def f(q, k, v):\n    with contextlib.ExitStack() as s:\n        {STATED}\n    return {CALL}\n",
    "in suppress, after the call": (
        f"def f(q, k, v):\n    o = q\n    with contextlib.suppress(ValueError):\n        o = {CALL}\n        {STATED}\n"
        "    return o\n"
    ),
    "in a try, after the call": (
        f"def f(q, k, v):\n    try:\n        o = {CALL}\n        {STATED}\n    except ValueError:\n        pass\n    return o\n"
    ),
    "in a manager of the file": (
        "@contextlib.contextmanager\ndef quiet():\n    try:\n        yield\n    except ValueError:\n        pass\n\n\n"
        f"def f(q, k, v):\n    with quiet():\n        {STATED}\n    return {CALL}\n"
    ),
    "in a manager class of the file": (
        "class Quiet:\n    def __enter__(self):\n        pass\n\n    def __exit__(self, *error):\n        return True\n\n\n"
        f"def f(q, k, v):\n    with Quiet():\n        {STATED}\n    return {CALL}\n"
    ),
    "by a generator that does not run": (
        f"def g(q):\n    {STATED}\n    yield q\n\n\ndef f(q, k, v):\n    g(q)\n    return {CALL}\n"
    ),
    "before another name changes it in place": (
        f"def f(q, k, v):\n    {STATED}\n    r = q\n    r.squeeze_(0)\n    return {CALL}\n"
    ),
    "before an inner function assigns it": (
        f"def f(q, k, v):\n    {STATED}\n    def g():\n        nonlocal q\n        q = q[0]\n    g()\n    return {CALL}\n"
    ),
    "before a function assigns the global": (
        f"q = None\n\n\ndef f(k, v):\n    {STATED}\n    g()\n    return {CALL}\n\n\ndef g():\n    global q\n    q = q[0]\n"
    ),
    "before a method sets the attribute": (
        "class A:\n    def f(self, k, v):\n        a, b, c, d = self.q.shape\n        self.g()\n"
        "        return attend(self.q, k, v).sum()\n\n    def g(self):\n        self.q = self.q[0]\n"
    ),
    "before its data is put in": f"def f(q, k, v):\n    {STATED}\n    q.data = k.data\n    return {CALL}\n",
}
PROVED = {
    "before a yield": f"def f(q, k, v):\n    {STATED}\n    yield {CALL}\n",
    "in a try, before the call": (
        f"def f(q, k, v):\n    try:\n        {STATED}\n        return {CALL}\n    except RuntimeError:\n        return None\n"
    ),
    "after a try": (
        f"def f(q, k, v):\n    try:\n        o = {CALL}\n    except RuntimeError:\n        raise\n    {STATED}\n    return o\n"
    ),
    "in a plain manager": f"def f(q, k, v):\n    with torch.no_grad():\n        {STATED}\n    return {CALL}\n",
    "in a manager of the file that lets through": (
        "@contextlib.contextmanager\ndef timed():\n    try:\n        yield\n    finally:\n        print('done')\n\n\n"
        f"def f(q, k, v):\n    with timed():\n        {STATED}\n    return {CALL}\n"
    ),
    "in the manager around the call": f"def f(q, k, v, c):\n    with c:\n        {STATED}\n        return {CALL}\n",
    "of an attribute that is set up once": (
        "class A:\n    def __init__(self, q):\n        self.q = q\n\n    def f(self, k, v):\n"
        "        a, b, c, d = self.q.shape\n        return attend(self.q, k, v).sum()\n"
    ),
}


@pytest.mark.parametrize("text", VAIN.values(), ids=list(VAIN))
def test_it_proves_nothing(text: str) -> None:
    result = rewrite_text(HEAD + text)
    assert not result.failed, result.findings
    assert "scaled_dot_product_attention(" not in result.new or ".ndim != 4" in result.new


@pytest.mark.parametrize("text", PROVED.values(), ids=list(PROVED))
def test_it_proves_the_rank(text: str) -> None:
    result = rewrite_text(HEAD + text)
    assert "scaled_dot_product_attention(" in result.new
    assert ".ndim != 4" not in result.new
