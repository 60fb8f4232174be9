"""Functions of other files that are given a package's name: which of them only say whether it is there."""

from __future__ import annotations

from xf2sdpa.project.files import Project
from xf2sdpa.project.questions import Questions

ASKS = "import importlib.util\n\n\ndef there(name):\n    return importlib.util.find_spec(name) is not None\n"
LOOKS = "\n\ndef look(name):\n    print(name)\n    return importlib.util.find_spec(name)\n"
USE = "print('xformers')\n"


def known(use: str, **texts: str) -> dict[str, bool]:
    files = {f"{name}.py": text for name, text in {**texts, "use": USE + use}.items()}
    project = Project((), files)
    return Questions(project.graph, project.texts).known_to("use.py")


def test_functions_of_one_file() -> None:
    found = known("from utils import there, look, other\n", utils=ASKS + LOOKS)
    assert found == {"utils.there": True, "utils.look": False}


def test_functions_of_a_module() -> None:
    assert known("import utils\n", utils=ASKS) == {"utils.there": True}


def test_through_files_that_hand_it_on() -> None:
    chain = {"a": "from utils import there\n", "b": "from a import there\n"}
    assert known("from b import there\n", utils=ASKS, **chain) == {"b.there": True}


def test_what_nobody_has_is_not_known() -> None:
    handing = "from elsewhere import there\n"
    assert known("from a import there\n", a=handing) == {}
    assert known("from a import there\n", a="from utils import there\n", utils="x = 1\n") == {}
    assert known("from a import there\n", a="from a import there\n") == {}


def test_of_a_file_that_does_not_parse_nothing_is_known() -> None:
    assert known("from utils import there\nimport utils\n", utils=ASKS + "print(\n") == {}
