"""The block of flags: where it goes, what it says, and that it comes out to the byte."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xf2sdpa.files.source import decode
from xf2sdpa.flags import block, table

ROOT = Path(__file__).parents[2]
H200 = table.chosen(["h200"])
BODY = """\
torch.set_float32_matmul_precision("high")  # TF32 factors (10 bits): fp32 encoder 2.6x
torch.backends.cudnn.benchmark = True  # convolutions: kernels tried once a shape
# xf2sdpa: end of H200 flags
"""


def inserted(text: str, *words: str) -> str:
    new = block.with_flags(text, table.chosen(words or ["h200"]))
    assert block.without(new) == text
    assert block.with_flags(new, table.chosen(words or ["h200"])) == new, "a second time changes nothing"
    return new


def shown(text: str) -> str:
    """The text with the digest left out."""
    return re.sub(r"(# xf2sdpa: H200 flags) [0-9a-f]{8} \(.*\)", r"\1", text)


def test_it_goes_after_the_imports() -> None:
    text = "import torch\nfrom model import Net\n\n\ndef main():\n    Net()\n"
    assert shown(inserted(text)) == (
        "import torch\nfrom model import Net\n\n# xf2sdpa: H200 flags\n" + BODY + "\n\ndef main():\n    Net()\n"
    )


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("import os\nos.environ['A'] = '1'\nimport torch\nimport x\nx()\n", "import x"),
        ("import torch\nimport sys\nsys.path.append('.')\nimport x\n", "import sys"),
        ("import torch\ntry:\n    import wandb\nexcept ImportError:\n    wandb = None\nx = 1\n", "    wandb = None"),
        ("try:\n    import torch\nexcept ImportError:\n    raise\nx = 1\n", "    raise"),
        ("import torch; x = [\n1,\n2]\ny = 2\n", "2]"),
        ("from torch import (\n    nn,\n)\nimport torch\n@nn.x\ndef f(): ...\n", "import torch"),
        ("import torch\nif __name__ == '__main__':\n    import x\n", "import torch"),
        ("import torch\\\n    .nn\nx = 1\n", "    .nn"),
    ],
)
def test_where_torch_is_imported(text: str, before: str) -> None:
    new = inserted(text)
    above = new[: new.index("\n\n# xf2sdpa: H200")].splitlines()
    assert above[-1] == before
    assert new.count("import torch") == text.count("import torch")


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("x = 1\n", ""),
        ('"""Doc."""\nx = 1\n', '"""Doc."""'),
        ('"""Doc\nmore."""\n', 'more."""'),
        ("#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n\nx = 1\n", "# -*- coding: utf-8 -*-"),
        ('"""Doc."""\nfrom __future__ import annotations\nx = 1\n', "from __future__ import annotations"),
        ("from torch import nn\nfrom model import Net\nNet()\n", "from model import Net"),
        ("import torch.nn as nn\nnn.x()\n", "import torch.nn as nn"),
        ("def main():\n    import torch\n", ""),
        ("import os\nos.environ['A'] = '1'\nfrom model import Net\nNet()\n", "from model import Net"),
        ("if True:\n    import torch\n", ""),
        ("", ""),
    ],
)
def test_where_torch_is_not_imported_by_that_name_the_block_imports_it(text: str, before: str) -> None:
    new = inserted(text)
    above = new[: new.index("# xf2sdpa: H200")].splitlines()
    assert (above[-2] if above else "") == before
    assert re.search(r"^import torch$", new[new.index("# xf2sdpa: H200") :], re.MULTILINE)


def test_an_alias_of_torch_is_used() -> None:
    assert 'th.set_float32_matmul_precision("high")' in inserted("import torch as th\nth.x()\n")
    assert "import torch\n" not in inserted("import torch.nn\n")


def test_each_set_of_flags() -> None:
    text = "import torch\nx = 1\n"
    assert "set_float32" not in inserted(text, "safe")
    assert "cudnn.benchmark" in inserted(text, "safe")
    assert "cudnn.benchmark" not in inserted(text, "tf32")
    named = inserted(text, "avoid-recompile")
    assert "\nimport os\n# a new length" in named
    assert 'os.environ.setdefault("TORCH_CUDNN_SDPA_AVOID_RECOMPILE", "1")\n' in named
    assert "import torch" not in named[named.index("# xf2sdpa") :]
    assert named.count("import os") == 1
    assert inserted("import os\nimport torch\n", "avoid-recompile").count("import os") == 1


def test_another_set_replaces_the_block_where_it_stands() -> None:
    full = inserted("import torch\nx = 1\n")
    moved = full.replace("x = 1\n", "") + "x = 1\n"
    moved = "import torch\ny = 2\n" + moved.removeprefix("import torch\n")
    safe = block.with_flags(moved, table.chosen(["safe"]))
    assert safe.startswith("import torch\ny = 2\n\n# xf2sdpa: H200")
    assert "set_float32" not in safe
    assert block.with_flags(safe, ()) == block.without(moved)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("= True", "= False"),
        ("high", "medium"),
        ("# TF32 factors", "# no TF32"),
        ("# xf2sdpa: end", "more()\n# xf2sdpa: end"),
    ],
)
def test_an_edited_block_is_known(old: str, new: str) -> None:
    text = inserted("import torch\n").replace(old, new, 1)
    found = block.find(text)
    assert found is not None
    assert not found.untouched


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_lone_mark_is_damage(newline: str) -> None:
    whole = inserted("import torch\nx = 1\n")
    assert block.damage(whole) is None
    first, last = whole.splitlines()[2], "# xf2sdpa: end of H200 flags"

    def damage(text: str) -> tuple[int, str] | None:
        return block.damage(text.replace("\n", newline))

    for text, line, said in (
        (whole.replace(last + "\n", ""), 3, "lost its last line"),
        (whole.replace(first + "\n", ""), 5, "lost its first line"),
        (whole.replace(first, "# xf2sdpa: H200 flags"), 3, "edited by hand"),
        ("if x:\n" + re.sub("(?m)^(?=.)", "    ", whole), 4, "edited by hand"),
        (f"{whole}{first}\n", 8, "lost its last line"),
    ):
        found = damage(text)
        assert found is not None, text
        assert found[0] == line
        assert said in found[1]
    assert damage(f'"""\n{first}\n"""\n{whole}') is None
    assert damage(f"x = '{first}'\n") is None
    assert damage("# xf2sdpa: H200 flags go here\n") is None


def test_trailing_blanks_and_other_newlines_are_no_edit() -> None:
    text = inserted("import torch\nx = 1\n").replace("\n", "\r\n").replace("2.6x", "2.6x  ")
    found = block.find(text)
    assert found is not None
    assert found.untouched


def test_the_emitted_lines_fit_black() -> None:
    lines = inserted("import torch\n", "h200", "avoid-recompile").splitlines()
    assert max(map(len, lines)) <= 88
    ast.parse("\n".join(lines))


def test_the_block_on_the_page_is_the_one_that_is_written() -> None:
    assert inserted("import torch\n").removeprefix("import torch\n\n") in (ROOT / "docs/flags.md").read_text() + "\n"


PIECES = {
    "shebang": ["", "#!/usr/bin/env python3\n"],
    "encoding": ["", "# -*- coding: latin-1 -*-\n", "# vim: set fileencoding=utf-8 :\n"],
    "comment": ["", "# Copyright\n# us\n", "# Copyright\n\n"],
    "docstring": ["", '"""Doc."""\n', "'''Doc\n\nmore é.'''\n\n\n", '"""Doc."""; x = [\n0]\n'],
    "future": ["", "from __future__ import annotations\n", "from __future__ import (\n    annotations,\n)\n\n"],
    "imports": [
        "",
        "import torch\n",
        "import os, torch\n",
        "import torch as t\nimport model\n",
        "from torch import nn\n",
        "import torch; y = (\n1)\n",
        "try:\n    import torch\nfinally:\n    pass\n",
        "import torch\n\n\n\n# then\nimport z\n",
        "import \\\n  torch\n",
    ],
    "rest": [
        "",
        "x = 'é'\n",
        "\n\n\ndef main():\n\tpass\n\n\nif __name__ == '__main__':\n\tmain()\n",
        "\n   \n\nwhile 0: pass",
        "@f\nclass A: ...\n\n\n",
    ],
}


@settings(max_examples=400, deadline=None)
@given(
    pieces=st.tuples(*(st.sampled_from(choices) for choices in PIECES.values())),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    ending=st.sampled_from(["", "strip"]),
    bom=st.booleans(),
    words=st.sampled_from([("h200",), ("safe",), ("avoid-recompile",), ("h200", "avoid-recompile")]),
)
def test_in_and_out_again_is_the_same_file_to_the_byte(
    pieces: tuple[str, ...], newline: str, ending: str, bom: bool, words: tuple[str, ...]
) -> None:
    text = "".join(pieces)
    if ending:
        text = text.rstrip("\n")
    text = text.replace("\n", newline)
    latin = "latin-1" in text
    data = (b"\xef\xbb\xbf" if bom and not latin else b"") + text.encode("latin-1" if latin else "utf-8")
    source = decode(data, Path("train.py"))
    new = source.encode(block.with_flags(source.text, table.chosen(words)))
    again = decode(new, Path("train.py"))
    assert new != data
    assert again.encode(block.with_flags(again.text, table.chosen(words))) == new
    assert again.encode(block.with_flags(again.text, ())) == data
    assert len(set(re.findall(r"\r\n|\r|\n", again.text))) <= 1
    other = block.with_flags(again.text, table.chosen(["tf32"]))
    assert again.encode(block.with_flags(other, ())) == data
