"""What methods and functions of other libraries return by their documentation: assumed, and the library is named."""

from __future__ import annotations

import pytest

from xf2sdpa.model import Site
from xf2sdpa.rewrite.engine import rewrite_text

HEAD = """\
import torch
import torch.nn.functional as F
import xformers.ops as xops
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb, repeat_kv


"""


def site(*lines: str, before: str = "", given: str = "attn, q, k, v, m, c", bias: str = "None") -> Site:
    call = f"xops.memory_efficient_attention(q, k, v, attn_bias={bias}).sum()"
    body = "".join(f"    {line}\n" for line in (*lines, f"return {call}"))
    result = rewrite_text(f"{HEAD}{before}def f({given}):\n{body}")
    assert not result.failed, result.findings
    return result.sites[0]


@pytest.mark.parametrize(
    ("line", "code", "library"),
    [
        ("q = attn.head_to_batch_dim(q)", "XF102", "diffusers' Attention (0.11 or newer)"),
        ("q = attn.head_to_batch_dim(q, out_dim=4)", "XF101", "diffusers' Attention (0.11 or newer)"),
        ("q = attn.batch_to_head_dim(q)", "XF102", "diffusers' Attention (0.11 or newer)"),
        ("q = attn.get_attention_scores(q, k)", "XF102", "diffusers' Attention (0.11 or newer)"),
        ("q = attn.reshape_heads_to_batch_dim(q)", "XF102", "diffusers' CrossAttention (before 0.11)"),
        ("q = attn.reshape_batch_dim_to_heads(q)", "XF102", "diffusers' CrossAttention (before 0.11)"),
        ("k = repeat_kv(k, 4)", "XF101", "transformers (4.31 or newer)"),
        ("q, k = apply_rotary_pos_emb(q.view(1, 2, 3, -1), k, c, c)", "XF101", "transformers (4.20 or newer)"),
    ],
)
def test_the_library_is_named(line: str, code: str, library: str) -> None:
    found = site(line)
    assert (found.kind.value, found.code) == ("assumed", code)
    assert any(library in sentence for sentence in found.assumptions)


@pytest.mark.parametrize(
    ("line", "before"),
    [
        ("q = attn.head_to_batch_dim(q, out_dim=c)", ""),
        ("q, k = apply_rotary_pos_emb(q, k, c, c)", ""),
        ("k = repeat_kv(k, 4)", "def repeat_kv(t, n):\n    return t\n\n\n"),
        ("k = m.repeat_kv(k, 4)", ""),
        ("k = attn.head_to_batch_dims(k)", ""),
        ("k = torch.head_to_batch_dim(k)", ""),
    ],
)
def test_what_is_not_the_librarys_proves_nothing(line: str, before: str) -> None:
    assert site(line, before=before).code == "XF201"


FORK = """\
class {name}:
    def prepare_attention_mask(self, attention_mask, target_length, batch_size):
        return attention_mask


"""
ANNOTATED = "attn: {name}, q, k, v, mask, c"
THREE = "b, n, d = q.shape"


def of_a_fork(name: str, *lines: str) -> Site:
    return site(THREE, *lines, before=FORK.format(name=name), given=ANNOTATED.format(name=name), bias="mask")


def test_the_mask_of_a_fork_is_what_the_library_documents() -> None:
    found = of_a_fork("Attention", "mask = attn.prepare_attention_mask(mask, n, b)")
    assert found.kind.value == "assumed"
    assert any(sentence.startswith("prepare_attention_mask") for sentence in found.assumptions)


@pytest.mark.parametrize("name", ["Mixer", "SparseAttention"])
def test_a_class_of_another_name_is_no_fork(name: str) -> None:
    assert of_a_fork(name, "mask = attn.prepare_attention_mask(mask, n, b)").code == "XF211"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (("if mask is not None:", "    mask = attn.prepare_attention_mask(mask, n, b)"), "XF102"),
        (("if not mask is None:", "    mask = attn.prepare_attention_mask(mask, n, b)"), "XF102"),
        (("if mask is None:", "    pass", "else:", "    mask = attn.prepare_attention_mask(mask, n, b)"), "XF102"),
        (("if mask is not None and c:", "    mask = attn.prepare_attention_mask(mask, n, b)"), "XF211"),
        (("if c:", "    mask = attn.prepare_attention_mask(mask, n, b)"), "XF211"),
        (("if c is not None:", "    mask = attn.prepare_attention_mask(mask, n, b)"), "XF211"),
        (("if mask is not None:", "    pass"), "XF211"),
        (("if mask is None:", "    mask = c"), "XF211"),
    ],
)
def test_a_question_for_none_narrows_the_other_path(lines: tuple[str, ...], code: str) -> None:
    assert of_a_fork("Attention", *lines).code == code


def test_a_mask_is_never_dropped_for_what_a_library_would_return() -> None:
    found = site(THREE, "mask = attn.prepare_attention_mask(None, n, b)", bias="mask")
    assert "attn_mask=None if mask is None else mask.unsqueeze(1)" in found.after
    assert any(sentence.startswith("prepare_attention_mask") for sentence in found.assumptions)


OWN = """\
class Attention:
    def head_to_batch_dim(self, t):
        {body}


"""


@pytest.mark.parametrize(
    ("body", "code", "library"),
    [
        ("b, n, d = t.shape\n        return t.reshape(b, n, 8, -1).transpose(1, 2).flatten(0, 1)", "XF102", False),
        ("return t.view(1, 2, 3, 4)", "XF101", False),
        ("return t", "XF102", True),
    ],
)
def test_a_fork_that_returns_another_rank_is_read(body: str, code: str, library: bool) -> None:
    """What the class of the file gives counts, where it is seen; else what the library documents."""
    found = site("q = attn.head_to_batch_dim(q)", before=OWN.format(body=body), given="attn: Attention, q, k, v, m, c")
    assert found.code == code
    assert any("diffusers" in sentence for sentence in found.assumptions) is library


@pytest.mark.parametrize(
    ("body", "known"),
    [
        ("b, n, d = t.shape\n        return t.reshape(b, n, 8, -1).transpose(1, 2).flatten(0, 1)", True),
        ("return t", True),
        ("return t.view(1, 2, 3, 4)", False),
    ],
)
def test_an_object_that_is_not_shown_may_be_of_the_forks_class(body: str, known: bool) -> None:
    """A class of the library's name in the file, whose method gives another rank: then the rank is not known."""
    found = site("q = attn.head_to_batch_dim(q)", before=OWN.format(body=body))
    assert (found.code == "XF102") is known
