"""Which variables of a file others put something else in the place of."""

from __future__ import annotations

import pytest

from xf2sdpa.project.files import Project
from xf2sdpa.project.handed_on import HandedOn
from xf2sdpa.project.replaced import Replaced

NET = "import xformers.ops as xops\n"


def replaced(text: str, **files: str) -> set[str]:
    texts = {"pk/__init__.py": "", "pk/net.py": NET, "pk/sub/net.py": NET, "use.py": text, **files}
    project = Project((), texts)
    handing = HandedOn(project.graph, project.texts)
    found = Replaced(handing, project.graph, project.texts).of({"pk/net.py": {"xops"}, "use.py": {"xops"}})
    assert not found["use.py"]
    return set(found["pk/net.py"])


@pytest.mark.parametrize(
    "text",
    [
        "from pk import net\nnet.xops = None\n",
        "from pk import net\nnet.xops: object = None\n",
        "from pk import net as n\nn.xops, other = None, 1\n",
        "import pk.net\ndel pk.net.xops\n",
        "from pk import net\nmonkeypatch.setattr(net, 'xops', None)\n",
        "monkeypatch.setattr('pk.net.xops', None)\n",
        "from pk import net\nmonkeypatch.delattr(net, 'xops')\n",
        "@mock.patch('pk.net.xops')\ndef test():\n    pass\n",
        "from pk import net\n\n@mock.patch.object(\n    net,\n    'xops',\n)\ndef test():\n    pass\n",
        "mock.patch.multiple('pk.net', xops=None)\n",
        "from pk import net\nmock.patch.multiple(net, a=1, xops=None)\n",
    ],
)
def test_it_is_replaced(text: str) -> None:
    assert replaced(text) == {"xops"}


@pytest.mark.parametrize(
    "text",
    [
        "from pk import net\nx = net.xops\n",
        "from pk import net\nprint(net.xops == 1, f(net.xops))\n",
        "from pk.sub import net\nnet.xops = None\n",
        "from other import net\nnet.xops = None\n",
        "self.net.xops = None\n",
        "import other\nmock.patch.object(other, 'xops', None)\n",
        "mock.patch('other.net.xops')\n",
        "mock.patch('pk.net.more')\n",
        "from pk.net import xops\nxops = None\n",
        "x = 'pk.net.xops'\n",
        "from pk import net\nnet.xops = = 1\n",
    ],
)
def test_it_is_not(text: str) -> None:
    assert not replaced(text)
