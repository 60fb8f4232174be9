"""Which names of a file others take from it, by imports, by attributes and by stars."""

from __future__ import annotations

from xf2sdpa.project.files import Project
from xf2sdpa.project.handed_on import HandedOn


def taken(**texts: str) -> set[str]:
    """What is taken from `net.py`."""
    files = {f"{name}.py": text for name, text in texts.items()}
    project = Project((), files)
    return set(HandedOn(project.graph, project.texts).taken_from(["net.py"])["net.py"])


NET = "import xformers.ops as xops\n"


def test_a_name_is_followed_through_any_number_of_stars() -> None:
    chain = {f"a{number}": f"from a{number - 1} import *\n" for number in range(1, 9)}
    chain["a0"] = "from net import *\n"
    assert taken(net=NET, **chain, use="from a8 import xops\n") == {"xops"}


def test_stars_in_a_circle_come_to_an_end() -> None:
    assert taken(net=NET + "from other import *\n", other="from net import *\n", use="from other import xops\n") == {
        "xops"
    }


def test_of_a_file_that_does_not_parse_every_word_may_come_by_its_star() -> None:
    assert taken(net=NET, use="from net import *\nprint(xops\n") >= {"xops"}
