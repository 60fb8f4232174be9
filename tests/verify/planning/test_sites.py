"""Plans: which sites can be verified, and what the two sides are."""

from __future__ import annotations

import ast
import functools
import textwrap
from collections import Counter
from pathlib import Path

import pytest
import torch

from tests.cases import Case, all_cases
from tests.projects import nested_dino
from tests.verify.plans import only, planned
from xf2sdpa.files.source import decode
from xf2sdpa.helper.text import MODULE_NAME, assemble
from xf2sdpa.settings import Settings
from xf2sdpa.verify.model import Status
from xf2sdpa.verify.planning.old_text import OldTexts, collect
from xf2sdpa.verify.planning.parts import Shadow
from xf2sdpa.verify.planning.plan import Plan, SitePlan
from xf2sdpa.verify.planning.sites import plan

HEAD = "import torch.nn.functional as F\nimport xformers.ops as xops\n\n\n"
CAUSAL = """\
def f(x, b, n, h, causal):
    q = x.view(b, n, h, -1)
    mask = xops.LowerTriangularMask() if causal else None
    return xops.memory_efficient_attention(q, q, q, attn_bias=mask).flatten(2)
"""
CAUSAL_NEW = """\
def f(x, b, n, h, causal):
    q = x.view(b, n, h, -1)
    is_causal = bool(causal)
    return F.scaled_dot_product_attention(
        q.transpose(1, 2), q.transpose(1, 2), q.transpose(1, 2), is_causal=is_causal
    ).transpose(1, 2).flatten(2)
"""


def shadow_of(site: SitePlan) -> Shadow:
    assert site.shadow is not None, site.report.reason
    return site.shadow


def sources(site: SitePlan) -> list[str]:
    return [atom.source for atom in site.atoms]


def on_disk(old: str, disk: str) -> SitePlan:
    return only(planned(HEAD + textwrap.dedent(old), "import torch.nn.functional as F\n\n\n" + textwrap.dedent(disk)))


# -- the share -------------------------------------------------------------------------------------


@functools.cache
def fixtures() -> list[tuple[Case, Plan]]:
    return [(case, planned(case.old, path=Path(case.path.name), **case.settings)) for case in all_cases()]


def test_nearly_all_fixtures_are_shadowed() -> None:
    shadowed, reasons = 0, Counter[str]()
    for _, found in fixtures():
        for site in found.sites:
            shadowed += site.shadow is not None
            if site.shadow is None:
                reasons[site.report.reason] += 1
                assert site.report.status is Status.NOT_SHADOWED
    print(f"fixtures: {shadowed} shadowed, {sum(reasons.values())} not: {dict(reasons)}")
    assert shadowed >= 70
    assert shadowed / (shadowed + sum(reasons.values())) >= 0.9


def test_a_rewritten_tree_gives_the_same_plans() -> None:
    """Each fixture as it was, and as the fixture's output on disk: the same sites, the same two sides."""
    for case, before in fixtures():
        if not case.changes:
            continue
        after = planned(case.old, case.new, path=Path(case.path.name), **case.settings)
        for old, new in zip(before.sites, after.sites, strict=True):
            if new.report.kind == "compat" or MODULE_NAME in case.new:
                continue  # fixtures are rewritten without a helper
            assert (old.shadow is None) == (new.shadow is None), (case.name, new.report.reason)
            if old.shadow and new.shadow and bool(old.shadow.helper) == bool(new.shadow.helper):
                assert (old.shadow.old, old.shadow.new) == (new.shadow.old, new.shadow.new), case.name
                assert old.shadow.strides_matter == new.shadow.strides_matter, case.name


# -- the two sides ---------------------------------------------------------------------------------


def test_a_condition_that_both_sides_share_is_an_atom() -> None:
    choice = "xops.LowerTriangularMask() if causal else None"
    old = CAUSAL.replace(f"    mask = {choice}\n", "").replace("attn_bias=mask", f"attn_bias={choice}")
    site = only(planned(HEAD + old))
    assert sources(site) == ["q", "q", "q", "causal"]
    assert "xops.LowerTriangularMask() if atom3 else None" in shadow_of(site).old
    assert "is_causal=bool(atom3)" in shadow_of(site).new


def test_a_replaced_statement_is_computed_beside_the_old_one() -> None:
    site = only(planned(HEAD + CAUSAL))
    (beside,) = shadow_of(site).besides
    assert beside.source == "bool(causal)"
    assert sources(site) == ["q", "q", "q", "mask", beside.name]


UPCAST = """\
def f(x, b, n, h):
    q = x.view(b, n, h, -1).float()
    return xops.memory_efficient_attention(q, q, q).flatten(2)
"""
UPCAST_NEW = """\
def f(x, b, n, h):
    q = x.view(b, n, h, -1).float()
    with torch.autocast(q.device.type, enabled=False):
        return F.scaled_dot_product_attention(
            q.transpose(1, 2), q.transpose(1, 2), q.transpose(1, 2)
        ).transpose(1, 2).flatten(2)
"""


def test_the_new_side_runs_without_autocast_where_the_new_text_does() -> None:
    for site in (only(planned("import torch\n" + HEAD + UPCAST)), on_disk(UPCAST, UPCAST_NEW)):
        assert shadow_of(site).autocast_off
        new = Shadow.of(shadow_of(site).data()).new_function(None)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert new(*[torch.ones(1, 2, 3, 4)] * 3).dtype is torch.float32


def test_a_with_that_was_taken_out_by_hand_is_told() -> None:
    bare = UPCAST_NEW.replace("    with torch.autocast(q.device.type, enabled=False):\n", "").replace(
        "        ", "    "
    )
    for disk in (bare, UPCAST_NEW.replace("enabled=False", "enabled=True")):
        site = on_disk(UPCAST, disk)
        assert site.shadow is None
        assert "differs from the new text" in site.report.reason


def test_dropout_is_an_atom_even_if_it_is_a_constant() -> None:
    old = CAUSAL.replace("attn_bias=mask", "p=0.1")
    site = only(planned(HEAD + old))
    assert [atom.source for atom in site.atoms if atom.role == "p"] == ["0.1"]
    assert "p=atom3" in shadow_of(site).old
    assert "dropout_p=atom3" in shadow_of(site).new


def test_dropout_that_is_lost_on_disk_stays_an_atom_of_the_old_side() -> None:
    site = on_disk(
        """
        def f(x, b, n, h):
            q = x.view(b, n, h, -1)
            return xops.memory_efficient_attention(q, q, q, p=0.1).flatten(2)
        """,
        """
        def f(x, b, n, h):
            q = x.view(b, n, h, -1)
            return F.scaled_dot_product_attention(
                q.transpose(1, 2), q.transpose(1, 2), q.transpose(1, 2)
            ).transpose(1, 2).flatten(2)
        """,
    )
    assert "p=atom3" in shadow_of(site).old
    assert "atom3" not in shadow_of(site).new


def test_a_mask_class_of_the_helper_is_built_by_the_helper() -> None:
    mask = "xops.fmha.BlockDiagonalMask.from_seqlens(lengths)"
    old = f"def f(q, k, v, lengths):\n    return xops.memory_efficient_attention(q, k, v, {mask})\n"
    site = only(planned(HEAD + old))
    assert sources(site) == ["q", "k", "v", "lengths"]
    assert (
        shadow_of(site).new == "memory_efficient_attention(atom0, atom1, atom2, BlockDiagonalMask.from_seqlens(atom3))"
    )
    assert "_attention_compat.BlockDiagonalMask" in shadow_of(site).imports.values()
    assert shadow_of(site).helper


def test_keys_and_values_swapped_on_disk_stay_swapped() -> None:
    site = on_disk(
        """
        def f(x, b, n, h):
            q, k, v = x.view(3, b, n, h, -1)
            return xops.memory_efficient_attention(q, k, v).flatten(2)
        """,
        """
        def f(x, b, n, h):
            q, k, v = x.view(3, b, n, h, -1)
            return F.scaled_dot_product_attention(
                q.transpose(1, 2), v.transpose(1, 2), k.transpose(1, 2)
            ).transpose(1, 2).flatten(2)
        """,
    )
    assert sources(site) == ["q", "k", "v"]
    assert "(atom0.transpose(1, 2), atom2.transpose(1, 2), atom1.transpose(1, 2))" in shadow_of(site).new


@pytest.mark.parametrize(
    ("edit", "new"),
    [
        (("bool(causal)", "not causal"), "is_causal=atom4"),
        ((", is_causal=is_causal", ""), "q.transpose"),
        ((").transpose(1, 2).flatten", ").flatten"), "is_causal=atom4)"),
        (("is_causal=is_causal", "is_causal=is_causal, scale=1.0"), "scale=1.0"),
    ],
)
def test_the_new_side_is_what_stands_on_disk(edit: tuple[str, str], new: str) -> None:
    site = on_disk(CAUSAL, CAUSAL_NEW.replace(*edit))
    assert new.replace("q.", "atom2.") in shadow_of(site).new
    if "not" in edit[1]:
        assert shadow_of(site).besides[0].source == "not causal"


def test_a_view_left_on_disk_makes_strides_matter() -> None:
    head = "def f(x, b, n, h):\n    q = x.view(b, n, h, -1)\n"
    old = head + "    return xops.memory_efficient_attention(q, q, q).view(b, n, -1)\n"
    new = head + (
        "    return F.scaled_dot_product_attention("
        "q.transpose(1, 2), q.transpose(1, 2), q.transpose(1, 2)).transpose(1, 2).{}(b, n, -1)\n"
    )
    assert not shadow_of(on_disk(old, new.format("reshape"))).strides_matter
    assert shadow_of(on_disk(old, new.format("view"))).strides_matter


# -- what cannot be shadowed -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("disk", "reason"),
    [
        (CAUSAL_NEW.replace("q = x.view(b, n, h, -1)", "q = 2 * x.view(b, n, h, -1)"), "differs from the new text"),
        (CAUSAL_NEW.replace("    is_causal", "    print(x)\n    is_causal"), "differs from the new text"),
        (CAUSAL_NEW.replace("def f", "def g"), "f is not in the new text"),
        (CAUSAL_NEW.replace("is_causal=is_causal", "is_causal=is_causal, scale=scale"), "reads scale, which the old"),
        (CAUSAL_NEW.replace("q.transpose(1, 2), is", "q.transpose_(1, 2), is"), "may have an effect"),
        (CAUSAL_NEW.replace("F.scaled_dot_product_attention", "my_attention"), "no call of scaled_dot_product"),
        (HEAD + CAUSAL, "still calls xformers"),
    ],
)  # fmt: skip
def test_what_the_rewrite_did_not_make_is_not_shadowed(disk: str, reason: str) -> None:
    site = on_disk(CAUSAL, disk)
    assert site.shadow is None
    assert site.report.status is Status.NOT_SHADOWED
    assert reason in site.report.reason


def test_another_edited_line_of_the_function_is_named() -> None:
    old = """
    def f(x, b, n, h, mask):
        q = x.view(b, n, h, -1)
        if isinstance(mask, xops.LowerTriangularMask):
            q = q * 2
        return xops.memory_efficient_attention(q, q, q, attn_bias=mask)
    """
    new = "from _attention_compat import LowerTriangularMask, memory_efficient_attention\n" + textwrap.dedent(
        old
    ).replace("xops.", "").replace("LowerTriangularMask)", "memory_efficient_attention)")
    site = on_disk(old, new)
    assert "was edited by hand" in site.report.reason


def test_a_removed_probe_is_listed_and_not_shadowed() -> None:
    old = (
        "import torch\nimport xformers.ops\n\n\ndef enable(module):\n"
        "    try:\n        xformers.ops.memory_efficient_attention(\n"
        "            torch.randn(1, 2, 40), torch.randn(1, 2, 40), torch.randn(1, 2, 40))\n"
        "    except Exception as error:\n        raise error\n"
    )
    site = only(planned(old))
    assert site.report.kind == "removed"
    assert site.report.status is Status.NOT_SHADOWED


# -- whole projects --------------------------------------------------------------------------------


def test_a_function_of_the_project_that_takes_over_is_not_run_and_said_to_be_why() -> None:
    """Nothing says that it can run twice, or what it reads; that it computes the same is the assumption of the site."""
    source = """\
import torch.nn.functional as F

try:
    from xformers.ops import memory_efficient_attention
except ImportError:

    def memory_efficient_attention(q, k, v):
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


def attend(q, k, v):
    return memory_efficient_attention(q, k, v)
"""
    report = only(planned(source)).report
    assert report.status is Status.NOT_SHADOWED
    assert report.reason.startswith("the project's own function takes over")


def test_a_package_of_several_files() -> None:
    folder = Path(nested_dino.__file__).parent
    files = [str(path) for path in sorted(folder.rglob("*.py"))]
    sites = plan(collect(files), Settings()).sites
    assert sites
    assert all(site.shadow is not None for site in sites), [site.report.reason for site in sites]


def test_plans_are_plain_data() -> None:
    for _, found in fixtures():
        for site in found.sites:
            if site.shadow is not None:
                assert Shadow.of(site.shadow.data()) == site.shadow
                ast.parse(site.shadow.old_lambda(), mode="eval")
                ast.parse(site.shadow.new_lambda(), mode="eval")


def in_program(old: str) -> SitePlan:
    texts = OldTexts()
    path = Path("program.py")
    texts.sources[path] = decode((HEAD + textwrap.dedent(old)).encode(), path)
    return only(plan(texts, Settings(), with_program=True))


def test_with_a_program_the_mask_is_made_by_the_new_text_too() -> None:
    site = in_program(
        """
        def f(self, q, k, v, lengths):
            mask = xops.fmha.BlockDiagonalMask.from_seqlens([len(x) for x in lengths], self.kv.pop()).make_causal()
            lengths = None
            return xops.memory_efficient_attention(q, k, v, attn_bias=mask)
        """
    )
    made = "BlockDiagonalMask.from_seqlens(atom4, atom5).make_causal()"
    assert shadow_of(site).new == f"memory_efficient_attention(atom0, atom1, atom2, attn_bias={made})"
    assert [capture.node[0] for capture in shadow_of(site).captures] == ["ListComp", "Call"]
    assert not shadow_of(site).besides
    assert sources(site)[:4] == ["q", "k", "v", "mask"]


def test_a_mask_that_two_statements_may_have_made_is_the_old_one() -> None:
    site = in_program(
        """
        def f(q, k, v, lengths, causal):
            mask = xops.fmha.BlockDiagonalMask.from_seqlens(lengths)
            if causal:
                mask = mask.make_causal()
            return xops.memory_efficient_attention(q, k, v, attn_bias=mask)
        """
    )
    assert shadow_of(site).new == "memory_efficient_attention(atom0, atom1, atom2, attn_bias=atom3)"


def test_what_was_changed_outside_of_the_calls_is_noted() -> None:
    old = HEAD + CAUSAL + "\n\ndef other(x):\n    return x\n"
    disk = "import torch.nn.functional as F\n\n\n" + CAUSAL_NEW + "\n\ndef other(x):\n    return 2 * x\n"
    found = planned(old, disk)
    assert only(found).shadow is not None
    (note,) = found.notes
    assert "other" in note
    assert not planned(old, disk.replace("2 * ", "")).notes


MASKED = """
def f(q, k, v, lengths):
    mask = xops.fmha.BlockDiagonalMask.from_seqlens(lengths)
    return xops.memory_efficient_attention(q, k, v, attn_bias=mask)
"""


@pytest.mark.parametrize(
    "edit", [("(lengths)\n", "(lengths).make_causal()\n"), ("from_seqlens(lengths)", "from_seqlens(q)")]
)
def test_a_mask_edited_by_hand_is_run_or_refused(tmp_path: Path, edit: tuple[str, str]) -> None:
    """With a program its expression is run; without one, the old mask would be used in its place: not shadowed."""
    old = HEAD + MASKED
    (tmp_path / "_attention_compat.py").write_text(assemble({"memory_efficient_attention", "BlockDiagonalMask"}))
    disk = "from _attention_compat import BlockDiagonalMask, memory_efficient_attention\n" + MASKED
    disk = disk.replace("xops.fmha.", "").replace("xops.", "").replace(*edit)
    texts = OldTexts()
    texts.take(decode(old.encode(), tmp_path / "program.py"), disk)
    without = only(plan(texts, Settings()))
    assert "was edited by hand" in without.report.reason
    mask = "BlockDiagonalMask.from_seqlens(atom4)"
    new = shadow_of(only(plan(texts, Settings(), with_program=True))).new
    assert new.endswith(f"attn_bias={mask + '.make_causal()' if 'causal' in edit[1] else mask})")
