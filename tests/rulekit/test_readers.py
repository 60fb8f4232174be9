"""Who else reads a name that an import binds, so that the import stays."""

from __future__ import annotations

import pytest

from tests.rules.common import attend, mea
from xf2sdpa.rewrite.engine import rewrite_text

TEXT = attend(mea())


def keeps(more: str, path: str = "model.py", handed_on: frozenset[str] = frozenset()) -> bool:
    """Whether the import of `xops`, which no code reads any more, stays."""
    result = rewrite_text(f"{TEXT}\n\n{more}\n", path, handed_on=handed_on)
    assert not result.failed, result.findings
    assert "scaled_dot_product_attention" in result.new
    return "import xformers.ops as xops" in result.new


@pytest.mark.parametrize(
    "reader",
    [
        "__all__ = ['attend', 'xops']",
        "__all__ = a = ['xops']",
        "__all__ += ['xops']",
        "__all__ = ('xops',)",
        "getattr(module, 'xops')",
        "hasattr(module, 'xops')",
        "setattr(module, 'xops', 1)",
        "delattr(module, 'xops')",
        "eval('xops')",
        "exec('xops')",
        "eval('xops.memory_efficient_attention')",
        "def f(a='xops'): return getattr(b, 'c') or globals()[a]",
        "x = 'xops' in vars()",
        "x = 'a' in b() and 'xops' in dir(c)",
        "def f(a: 'xops.AttentionBias'): pass",
        "def f() -> 'xops.AttentionBias': pass",
        "def f(a='xops'): return globals()[a]",
        "x: 'List[xops.AttentionBias]' = None",
        "x: str = 'xops'; eval(x)",
    ],
)
def test_what_reads_a_name_by_a_string(reader: str) -> None:
    assert keeps(reader)


@pytest.mark.parametrize(
    "other",
    [
        "",
        "print('xops')",
        "getattr(module, 'other')",
        "names = ['xops']",
        "x = {'xops': 1}",
        "x = 'xops' == y",
        "'xops'",
        "x = b'xops'",
        "module.getattr('xops')",
        "def f(a: 'Literal[\"xops\"]'): pass",
        "def f(a: 'not python ('): pass",
    ],
)
def test_what_does_not(other: str) -> None:
    assert not keeps(other)


def test_what_other_files_take_stays() -> None:
    assert keeps("", handed_on=frozenset({"xops"}))
    assert not keeps("", handed_on=frozenset({"attend"}))


def test_an_init_hands_on_what_it_does_not_use() -> None:
    assert not keeps("", path="package/__init__.py")
    assert "as other" in rewrite_text(f"import xformers.ops as other\n{TEXT}", "package/__init__.py").new
    assert "as other" not in rewrite_text(f"import xformers.ops as other\n{TEXT}", "package/model.py").new
