"""Which files of a project are parsed: those with a match, and those that the widened search names; no others."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.projects.harness import rewrite, write
from tests.projects.ways import PROJECT

UNRELATED = {
    "data.py": "import torch\n\n\nclass Batches:\n    def __init__(self, files):\n        self.files = files\n",
    "words.py": "def forward(x, mask=None):\n    return x if mask is None else x * mask\n",
    "train.py": "import torch\nfrom data import Batches\n\nif __name__ == '__main__':\n    print(Batches([]))\n",
}
CALLER = {"more.py": "from model import Net\n\n\ndef use(x):\n    return Net()(x)\n"}


@pytest.mark.parametrize("options", [("--flags", "off"), (), ("--check",)], ids=["no flags", "flags", "check"])
def test_a_file_without_a_match_is_parsed_only_if_the_search_names_it(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = PROJECT | UNRELATED | CALLER
    marks = {name: f"{tmp_path} {name}" for name in files}  # no text is one that was parsed before
    write(tmp_path, {name: f"{text}# {marks[name]}\n" for name, text in files.items()})
    parsed: set[str] = set()
    parse = ast.parse

    def noting(source: Any, *more: Any, **options: Any) -> Any:
        text = source.decode() if isinstance(source, bytes) else str(source)
        parsed.update(name for name in files if marks[name] in text)
        return parse(source, *more, **options)

    monkeypatch.setattr(ast, "parse", noting)
    rewrite(tmp_path, *options, status=int("--check" in options))
    assert {"attention.py", "model.py"} <= parsed, "the call, and who makes objects of its class"
    assert not parsed & set(UNRELATED)
