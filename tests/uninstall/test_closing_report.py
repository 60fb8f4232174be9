"""What still names xformers in the tree, and whether it can be uninstalled: never yes while something needs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.notebooks import book, code, printed
from tests.projects.harness import write
from tests.run.commands import EXACT, LEFT, rewrite
from xf2sdpa.helper.text import assemble
from xf2sdpa.model import Bearing
from xf2sdpa.uninstall.closing_report import mentions_in, tree_around

PART = "from xformers.components import build_attention\n\nBUILD = build_attention\n"
CALL = "python train.py --xformers\n"


def found(folder: Path, files: dict[str, str]) -> list[str]:
    """Path, line, kind and bearing of all that a tree says, none of whose files was looked at."""
    write(folder, files)
    tree = tree_around([folder], [])
    mentions = mentions_in(tree, [], frozenset())
    return [f"{Path(m.path).name}:{m.line} {m.kind} {m.bearing.value}" for m in mentions]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


TRY = "try:\n    import xformers\nexcept ImportError:\n    xformers = None\n"
OPTION = "p.add_argument('--xformers')\n"
ASKS = "if attn == 'xformers':\n    pass\n"
HANDS_ON = "assert attn in ('xformers',)\nunet.set_attention_backend(attn)\n"
PLACES = {
    "a guarded import": ({"a.py": TRY}, ["a.py:2 code needs", "a.py:4 code names"]),
    "a comment": ({"a.py": "# without xformers\n"}, ["a.py:1 code names"]),
    "no Python": ({"old.py": "import xformers\nprint 'x'\n"}, ["old.py:1 code unsure"]),
    "an option of nobody here": ({"run.sh": CALL}, ["run.sh:1 script unsure"]),
    "an option of a file": ({"run.sh": CALL, "train.py": OPTION}, ["run.sh:1 script choice", "train.py:1 code choice"]),
    "a value of nobody here": ({"c.yaml": "attn: xformers\n"}, ["c.yaml:1 config unsure"]),
    "a value of a file": (
        {"c.yaml": "attn: xformers\n", "a.py": ASKS},
        ["a.py:1 code choice", "c.yaml:1 config choice"],
    ),
    "a value that is handed on": (
        {"c.yaml": "attn: xformers\n", "a.py": HANDS_ON},
        ["a.py:1 code choice", "c.yaml:1 config unsure"],
    ),
    "a key": (
        {"c.yaml": "use_xformers: yes\n", "a.py": "if cfg.use_xformers:\n    pass\n"},
        ["a.py:1 code names", "c.yaml:1 config choice"],
    ),
    "prose": ({"README.md": "xformers\n\nxformers\n"}, ["README.md:1 docs names"]),
    "a lock": ({"uv.lock": "xformers\n"}, ["uv.lock:1 lock names"]),
    "a requirement": ({"requirements.txt": "a\nxformers\n"}, ["requirements.txt:2 requirements names"]),
    "no text": ({"a.bin": "xformers\n", "b.dat": "\0xformers"}, []),
    "letters": ({"note.txt": "MSLKmslk\n"}, []),
}


@pytest.mark.parametrize(("files", "told"), PLACES.values(), ids=PLACES)
def test_places(tmp_path: Path, files: dict[str, str], told: list[str]) -> None:
    assert found(tmp_path, files) == told


CELLS = (
    code("x = 1", "import xformers"),
    code("%time", "!python train.py --xformers"),
    code(OPTION.strip()),
    code("!pip install torch", outputs=printed("xformers")),
)


def test_a_notebook_by_its_cells(tmp_path: Path) -> None:
    """Of one that no run looked at all counts, of another what findings do not tell; lines are those of the file."""
    text = book(*CELLS)
    lines = [
        next(n for n, line in enumerate(text.split("\n"), 1) if word in line)
        for word in ("import x", "train.py", "p.add")
    ]
    needed, needed_too, choice = (f"demo.ipynb:{line} notebook" for line in lines)
    assert found(tmp_path, {"demo.ipynb": text}) == [f"{needed} needs", f"{needed_too} needs", f"{choice} choice"]
    report = json.loads(rewrite("--check", "--output-format", "json", ".").output)
    told = [(m["line"], m["bearing"]) for m in report["closing"]["mentions"] if m["bearing"] != "names"]
    assert told == [(lines[0], "needs"), (lines[1], "needs"), (lines[2], "choice")]
    assert "cell 2, line 2: " in report["closing"]["mentions"][1]["text"]


def test_a_helper_module_needs_nothing(tmp_path: Path) -> None:
    assert found(tmp_path, {"_attention_compat.py": assemble({"memory_efficient_attention"})}) == []


def last(*arguments: str) -> str:
    """The last line of a report."""
    return rewrite("--jobs", "1", *arguments).output.splitlines()[-1]


@pytest.mark.parametrize(
    ("files", "answer"),
    [
        ({}, "yes"),
        ({"notes.md": "xformers\n", "poetry.lock": "xformers\n"}, "yes"),
        ({"left.py": LEFT}, "no, because left.py needs it"),
        ({"tools/other.py": PART}, "no, because tools/other.py needs it"),
        ({"run.sh": CALL}, "not for all that is known, because run.sh may need it"),
        ({"old.py": "import xformers\nprint 'x'\n"}, "no"),
        ({"demo.ipynb": "xformers"}, "not for all that is known, because demo.ipynb may need it"),
    ],
)
def test_the_verdict(tmp_path: Path, files: dict[str, str], answer: str) -> None:
    write(tmp_path, {"model.py": EXACT, "pyproject.toml": "[project]\nname = 'a'\n", **files})
    for paths in (["."], ["model.py"]):
        line = last("--check", *paths)
        assert line.startswith(f"xformers can be uninstalled after this: {answer}"), (paths, line)
    assert last(".").startswith(f"xformers can be uninstalled: {answer}")
    assert last(".").startswith(f"xformers can be uninstalled: {answer}"), "the second run says the same"


@pytest.mark.parametrize("how", [["--ignore", "XF4"], ["--select", "XF101"], ["--exclude", "other.py"]])
def test_what_is_not_told_counts_all_the_same(tmp_path: Path, how: list[str]) -> None:
    other = "from diffusers import X\n\nX.load().enable_xformers_memory_efficient_attention(op())\n"
    write(tmp_path, {"model.py": EXACT, "other.py": f"import xformers.profiler\n{other}"})
    assert "no, because" in last(*how, ".")


def test_an_ignored_call_needs_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "model.py": EXACT.replace("k, v).", "k, v).").replace(
                "(q, k, v)", "(q, k, v)  # xf2sdpa: ignore\n    y = (x)"
            )
        },
    )
    assert "no, because model.py needs it" in last(".")


def test_a_file_that_cannot_be_written_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"model.py": EXACT, "b.py": EXACT, "requirements.txt": "torch\nxformers\n"})
    (tmp_path / "model.py").chmod(0o444)
    monkeypatch.setattr("os.access", lambda path, mode: not str(path).endswith("model.py"))
    result = rewrite("--jobs", "1", ".")
    assert result.exit_code == 2
    assert (tmp_path / "requirements.txt").read_text() == "torch\nxformers\n"
    assert "no, because model.py needs it" in result.output.splitlines()[-1]


def test_the_json_has_it_all(tmp_path: Path) -> None:
    write(
        tmp_path, {"model.py": EXACT, "requirements.txt": "torch>=1.9\nxformers\n", "run.sh": "pip install xformers\n"}
    )
    report = json.loads(rewrite("--output-format", "json", ".").output)
    closing = report["closing"]
    assert closing["can_be_uninstalled"] is True
    assert [(c["line"], c["was"], c["now"]) for c in closing["requirements"]] == [
        (2, "xformers", ""),
        (1, "torch>=1.9", "torch>=2.0"),
    ]
    assert [(m["path"], m["kind"], m["bearing"], m["advice"]) for m in closing["mentions"]] == [
        ("run.sh", "script", "names", "delete the line")
    ]
    assert (tmp_path / "requirements.txt").read_text() == "torch>=2.0\n"


def test_bearing_of_findings(tmp_path: Path) -> None:
    write(tmp_path, {"left.py": LEFT})
    report = json.loads(rewrite("--output-format", "json", ".").output)["closing"]
    assert report["can_be_uninstalled"] is False
    assert {m["bearing"] for m in report["mentions"]} >= {Bearing.NEEDS.value}
