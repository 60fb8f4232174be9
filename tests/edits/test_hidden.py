"""Valid files that LibCST refuses, changes or dies over are rewritten: it sees only the statements that change."""

from __future__ import annotations

import ast

import pytest

from xf2sdpa.edits.hidden import Hidden, nests_too_deep
from xf2sdpa.edits.kinds import ReplaceStatement
from xf2sdpa.rewrite.engine import rewrite_text

SHAPE = "    b, n, h, d = q.shape\n"
EXACT = (
    f"from xformers.ops import memory_efficient_attention\n\n\ndef f(q, k, v):\n{SHAPE}"
    "    return memory_efficient_attention(q, k, v, attn_bias=None)\n"
)
METHOD = (
    "from xformers.ops import memory_efficient_attention\n\n\nclass A:\n    def f(self, q, k, v):\n"
    "        b, n, h, d = q.shape\n        return memory_efficient_attention(q, k, v)\n"
)
ADJACENT = "x = (\n" + '    "a"\n' * 5_000 + ")\n"
CHAIN = "x = " + " and ".join(["a"] * 8_000) + "\n"
WIDE = "x = [" + "0," * 100_000 + "]\n"
VALID = {
    "old Mac line ends": EXACT.replace("\n", "\r"),
    "old Mac line ends and a docstring": ('"""doc\n\nx"""\n' + EXACT + "\n\n# end\n").replace("\n", "\r"),
    "a form feed first": "\f" + EXACT,
    "a form feed and a comment first": "\f# x\n" + EXACT,
    "a form feed in a block": EXACT.replace(SHAPE, "\f" + SHAPE),
    "a form feed before a function": EXACT.replace("\ndef", "\n\fdef"),
    "thousands of adjacent strings": EXACT + ADJACENT,
    "thousands of adjacent strings beside the call": EXACT.replace(SHAPE, SHAPE + "    " + ADJACENT),
    "a chain": EXACT + CHAIN,
    "a chain beside the call": EXACT.replace(SHAPE, SHAPE + "    " + CHAIN),
    "a wide line": EXACT + WIDE,
    "a wide line beside the call": EXACT.replace(SHAPE, SHAPE + "    " + WIDE),
    "another spelling of the alias": EXACT.replace("attention\n\n", "attention as 𝐟𝐨𝐨\n\n", 1).replace(
        "return memory_efficient_attention", "return foo"
    ),
    "another spelling of the call": EXACT.replace("return memory", "return 𝐦emory"),
    "another spelling of the import": EXACT.replace("import memory", "import 𝐦emory"),
    "another spelling of a keyword": EXACT.replace("attn_bias", "𝐚ttn_bias"),
    "semicolons": EXACT + "x = 1; y = 2; \\\nz = 3\n",
    "a decorator on two lines": EXACT + "@(\n    print\n)\ndef g(): pass\n",
    "an elif": EXACT.replace(
        SHAPE, SHAPE + "    if b:\n        pass\n    elif n:\n        x = 1\n    else:\n        y = 2\n"
    ),
    **{f"a comment at the end, by {indent!r}": f"{EXACT}{indent}# odd\n" for indent in ("  ", "      ", "\t")},
    **{f"comments at the end, by {i!r}": f"{EXACT}\n{i}# odd\n# even\n  # x\n\n" for i in ("  ", "      ", "\t")},
    **{f"a comment between, by {i!r}": f"{EXACT}{i}# odd\n\n\ndef g():\n    pass\n" for i in ("  ", "      ", "\t")},
    **{
        f"a comment in a class, by {i!r}": f"{METHOD}{i}# odd\n\n    def g(self): pass\n"
        for i in ("  ", "      ", "\t")
    },
}


@pytest.mark.parametrize("name", VALID)
def test_a_valid_file_is_rewritten(name: str) -> None:
    result = rewrite_text(VALID[name])
    assert not result.failed, result.findings
    assert "scaled_dot_product_attention" in result.new


@pytest.mark.parametrize("place", ["scale=", "return "])
def test_a_call_that_is_part_of_a_chain_is_named(place: str) -> None:
    chain = "b and " * 8_000
    text = (
        EXACT.replace("return ", f"return {chain}")
        if place == "return "
        else EXACT.replace("None", f"None, scale={chain}b")
    )
    result = rewrite_text(text)
    assert [finding.code for finding in result.findings] == ["XF909"]
    assert result.new == text


GUARD = (
    "import os\n\ntry:\n    from xformers.ops import memory_efficient_attention\n"
    "except ImportError:\n    memory_efficient_attention = None\n"
)


@pytest.mark.parametrize("indent", ["", "  ", "\t"])
@pytest.mark.parametrize("after", ["", "\n", "  \n", "    \n", "        \n", "  # odd\n", "      # odd\n"])
@pytest.mark.parametrize("following", ["\nx = 1\n", "x = 1\n", "# xformers\nx = 1\n", ""])
def test_a_comment_below_a_guard_that_goes_stays(indent: str, after: str, following: str) -> None:
    rest = EXACT.split("\n", 1)[1]
    result = rewrite_text(f"{GUARD}{indent}# keep me\n{after}{following}{rest}")
    assert not result.failed, result.findings
    assert "try:" not in result.new
    assert f"{indent}# keep me\n" in result.new
    assert ("# odd" in result.new) == ("# odd" in after)


def test_hidden_text_comes_back() -> None:
    text = "import a\n\nif b:\n    c = 1\n\n    d = (2,\n         3)  # four\n@e\ndef f():\n    pass\n\n# tail\n"
    tree = ast.parse(text)
    hidden = Hidden(text, tree, [ReplaceStatement(tree.body[0])])
    assert hidden.text.count("_xf2sdpa_hidden_") == 2
    assert "c = 1" not in hidden.text
    assert hidden.restored(hidden.text) == text


def test_a_file_with_our_own_names_is_shown_whole() -> None:
    text = "import a\nb = _xf2sdpa_hidden_0_\n"
    tree = ast.parse(text)
    assert Hidden(text, tree, [ReplaceStatement(tree.body[0])]).text == text


def test_only_chains_nest() -> None:
    assert nests_too_deep("x = " + "+".join("a" * 3_000))
    assert nests_too_deep("x = (" + "'a' " * 3_000 + ")")
    assert not nests_too_deep("x = [" + "0, " * 10_000 + "]")
    assert not nests_too_deep("x = a + b\n" * 5_000)
