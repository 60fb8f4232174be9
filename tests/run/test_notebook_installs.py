"""Install lines of notebooks: they go where nothing needs xformers any more, and stay where something may."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebooks import INLINE, code, prose, saved, sources
from tests.projects.harness import write
from tests.run.commands import rewrite

pytestmark = pytest.mark.usefixtures("inside")


def test_names_in_magics_keep_the_import() -> None:
    path = saved(*INLINE, code("%timeit xops.memory_efficient_attention(q, k, v)"))
    output = rewrite("-v", path).output
    assert "import xformers.ops as xops" in sources(path)[1]
    assert sources(path)[0] == "!pip install xformers"
    assert "cell 2:1:1: XF410 note    installs xformers, and stays, as it is still needed here" in output
    assert "scaled_dot_product_attention" in sources(path)[3]


@pytest.mark.parametrize(
    ("further", "why"),
    [
        (code("!python launch.py --xformers"), "cell 7 still names it"),
        (code("!accelerate launch train.py"), "code that is not seen here may need it"),
        (code("%run train.py"), "code that is not seen here may need it"),
        (code("!git clone https://host/a"), "code that is not seen here may need it"),
        (code("%%bash", "python train.py"), "code that is not seen here may need it"),
        (code('config = {"xformers": True}'), "cell 7 still names it"),
        (code("from needing import a"), "needing.py imports it"),
        (code("from unseen import a"), "unseen was not looked at"),
        (code("xops.fmha.memory_efficient_attention_partial(q, k, v)"), "it is still needed here"),
    ],
)
def test_install_lines_stay_where_something_may_need_it(further: dict[str, object], why: str) -> None:
    write(Path(), {"needing.py": "import xformers.components\na = xformers.components\n", "out/unseen.py": "a = 1\n"})
    path = saved(*INLINE, prose("x"), further)
    Path("out/unseen.py").rename("unseen.py")
    output = rewrite("-v", path, "needing.py").output
    assert f"XF410 note    installs xformers, and stays, as {why}" in output
    assert sources(path)[0] == "!pip install xformers"
    assert "scaled_dot_product_attention" in sources(path)[3]


def test_install_lines_stay_where_nothing_shows_what_they_are_for() -> None:
    path = saved(code("!pip install xformers diffusers"), code("import diffusers"))
    before = path.read_text("utf-8")
    assert "as nothing that was rewritten shows what it is for" in rewrite(path).output
    assert path.read_text("utf-8") == before


def test_install_lines_in_blocks_and_below_magics() -> None:
    cells = (
        code("%%capture", "!pip install xformers"),
        code("import sys", "if 'google.colab' in sys.modules:", "    !pip install -q xformers"),
        code("if 'google.colab' in sys.modules:", "    !pip install -q xformers", "    !pip install a xformers"),
        code("said = !pip install xformers"),
    )
    path = saved(*cells, *INLINE[2:])
    output = rewrite("-v", path).output
    assert sources(path)[:4] == [
        "",
        "import sys\nif 'google.colab' in sys.modules:\n    pass",
        "if 'google.colab' in sys.modules:\n    !pip install a",
        "said = !pip install xformers",
    ]
    assert "cell 4:1:1: XF410" in output


def test_only_exact_and_ignored_codes_keep_install_lines() -> None:
    for options in (("--only", "exact"), ("--ignore", "XF149"), ("--requirements", "keep")):
        path = saved(*INLINE)
        rewrite(*options, path)
        assert sources(path)[0] == "!pip install xformers"
