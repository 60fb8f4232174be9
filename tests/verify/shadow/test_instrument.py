"""Instrumented programs do what they did: the same effects, once each, in the same order, and the same result."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests import oracle
from tests.verify.plans import PATH
from xf2sdpa.files.source import decode
from xf2sdpa.settings import Settings
from xf2sdpa.verify.planning.old_text import OldTexts
from xf2sdpa.verify.planning.parts import Shadow
from xf2sdpa.verify.planning.plan import Plan
from xf2sdpa.verify.planning.sites import plan
from xf2sdpa.verify.shadow import entry
from xf2sdpa.verify.shadow.instrument import HOOKS, Stray, instrument

HEAD = """\
import torch
import xformers.ops as xops

TRACE = []


def note(name, value):
    TRACE.append(name)
    return value


def tensor(name):
    return note(name, torch.randn(1, 4, 2, 8, generator=torch.Generator().manual_seed(len(name)), dtype=torch.float64))


"""

PROGRAMS = {
    "a walrus in the arguments": """
        def run():
            out = xops.memory_efficient_attention(q := tensor("q"), tensor("kk"), q, scale=(s := note("s", 0.5)))
            return out + q * s
    """,
    "a walrus in a comprehension": """
        def run():
            outs = [xops.memory_efficient_attention(q := tensor(n), q, tensor("v" + n)) for n in ("a", "b")]
            return outs[0] + outs[1] + q
    """,
    "items that are popped": """
        def run():
            items = [tensor("vvv"), tensor("kk"), tensor("q")]
            out = xops.memory_efficient_attention(items.pop(), items.pop(), items.pop())
            TRACE.append(len(items))
            return out
    """,
    "an iterator": """
        def run():
            waiting = iter([tensor("q"), tensor("kk"), tensor("vvv"), tensor("left")])
            out = xops.memory_efficient_attention(next(waiting), next(waiting), next(waiting))
            return out + next(waiting)
    """,
    "a generator unpacked": """
        def parts():
            for name in ("q", "kk", "vvv"):
                yield tensor(name)

        def run():
            return xops.memory_efficient_attention(*parts())
    """,
    "keywords unpacked": """
        def run():
            given = {"attn_bias": xops.LowerTriangularMask()}
            q = tensor("q")
            return xops.memory_efficient_attention(q, q, q, **note("given", given))
    """,
    "a generator expression in an argument": """
        def run():
            q = tensor("q")
            return xops.memory_efficient_attention(q, sum(tensor(n) for n in ("a", "bb")), torch.stack(
                [tensor(n) for n in ("c", "dd")]).sum(0))
    """,
    "await": """
        async def given(name):
            await asyncio.sleep(0)
            return tensor(name)

        async def attend():
            return xops.memory_efficient_attention(await given("q"), await given("kk"), await given("vvv"))

        def run():
            return asyncio.run(attend())
    """,
    "an async comprehension": """
        async def names():
            for name in ("q", "kk"):
                yield name

        async def attend():
            return [xops.memory_efficient_attention(q := tensor(n), q, q) async for n in names()][1]

        def run():
            return asyncio.run(attend())
    """,
    "yield": """
        def attend():
            return xops.memory_efficient_attention((yield "q"), (yield "kk"), (yield "vvv"))

        def run():
            generator = attend()
            wanted = next(generator)
            try:
                while True:
                    wanted = generator.send(tensor(wanted))
            except StopIteration as end:
                return end.value
    """,
    "super": """
        class Base:
            def project(self, name):
                return tensor(name)

        class Layer(Base):
            def forward(self):
                return xops.memory_efficient_attention(
                    super().project("q"), super().project("kk"), super().project("vvv")
                )

        def run():
            return Layer().forward()
    """,
    "private names of a class": """
        class Layer:
            def __init__(self):
                self.__scale = 0.5
                self.__causal = True

            def __q(self):
                return tensor("q")

            def forward(self, causal):
                q = self.__q()
                mask = xops.LowerTriangularMask() if self.__causal else None
                return xops.memory_efficient_attention(q, q.view(1, 4, 2, 8), q, attn_bias=mask, scale=self.__scale)

        def run():
            return Layer().forward(True)
    """,
    "a class body": """
        class Table:
            q = tensor("q")
            k = tensor("kk")
            out = xops.memory_efficient_attention(q, k, k, scale=0.5)

        def run():
            return Table.out
    """,
    "a lambda": """
        attend = lambda q, causal: xops.memory_efficient_attention(
            q, q.transpose(0, 0), q, attn_bias=xops.LowerTriangularMask() if causal else None)

        def run():
            return attend(tensor("q"), note("causal", 1))
    """,
    "a chosen operator": """
        def run():
            q = tensor("q")
            return note("xops", xops).memory_efficient_attention(q, q, q) + xops.memory_efficient_attention(
                query=note("query", q), value=note("value", q), key=note("key", q))
    """,
    "one call in another's arguments": """
        def run():
            return xops.memory_efficient_attention(
                xops.memory_efficient_attention(tensor("q"), tensor("kk"), tensor("v")), tensor("aa"), tensor("bbb"))
    """,
    "transposes that cancel": """
        def run():
            q, k, v = (tensor(n).view(1, 4, 2, 8).transpose(1, 2) for n in ("q", "kk", "vvv"))
            assert q.dim() == 4
            b, h, n, d = q.shape
            q = note("cancelled", q).transpose(1, 2)
            k = k.transpose(1, 2)
            out = xops.memory_efficient_attention(q, k, v.transpose(1, 2))
            out = out.transpose(1, 2)
            return out.reshape(b, h, n, d)
    """,
    "a mask made before": """
        def run():
            lengths = [[1, 2, 3], [4]]
            mask = xops.fmha.BlockDiagonalMask.from_seqlens([len(x) for x in note("lengths", lengths)]).make_causal()
            lengths = None
            q = tensor("q")
            return xops.memory_efficient_attention(q, q, q, attn_bias=mask)
    """,
    "a mask chosen before": """
        def run(causal=True):
            q = tensor("q").view(1, 4, 2, 8)
            if note("causal", causal):
                pass
            bias = None
            if causal:
                bias = xops.LowerTriangularMask()
            causal = "changed"
            return xops.memory_efficient_attention(q, q, q, attn_bias=bias)
    """,
}


def prepared(name: str) -> str:
    return "import asyncio\n" + HEAD + textwrap.dedent(PROGRAMS[name])


def planned(text: str) -> Plan:
    texts = OldTexts()
    texts.sources[PATH] = decode(text.encode(), PATH)
    return plan(texts, Settings(), with_program=True)


def shadows(text: str) -> list[Shadow]:
    return [site.shadow for site in planned(text).sites if site.shadow is not None]


def execute(code: Any) -> tuple[list[Any], torch.Tensor]:
    namespace: dict[str, Any] = {"__name__": "program"}
    exec(code, namespace)
    result = namespace["run"]()
    return namespace["TRACE"], result


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_program_does_what_it_did(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = prepared(name)
    probed = []

    def probe(site: str, old: Callable[..., Any]) -> Callable[..., Any]:
        def run(operator: Callable[..., Any], *atoms: Any) -> Any:
            probed.append(site)
            again = [x.clone() if isinstance(x, torch.Tensor) else x for x in atoms]
            result = old(operator, *atoms)
            old(operator, *again)  # as often as one likes
            return result

        return run

    monkeypatch.setattr(entry, "probe", probe)
    with oracle.installed():
        trace, result = execute(compile(text, "program.py", "exec"))
        sides = shadows(text)
        instrumented = instrument(text, "program.py", sides)
        again, shadowed = execute(compile(instrumented, "program.py", "exec"))
    assert sides, "nothing of this program is shadowed"
    assert set(probed) == {side.site for side in sides}
    assert again == trace
    assert torch.equal(result, shadowed)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_new_side_computes_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = prepared(name)
    found = planned(text)
    sites = {site.report.id: site for site in found.sites}
    compared = []

    def probe(site: str, old: Callable[..., Any]) -> Callable[..., Any]:
        new = sites[site].shadow.new_function(found.helper(sites[site]))  # type: ignore[union-attr]

        def run(operator: Callable[..., Any], *atoms: Any) -> Any:
            result = old(operator, *atoms)
            compared.append((result, new(*atoms)))
            return result

        return run

    monkeypatch.setattr(entry, "probe", probe)
    with oracle.installed():
        execute(compile(instrument(text, "program.py", shadows(text)), "program.py", "exec"))
    assert compared
    for old, new in compared:
        torch.testing.assert_close(new, old)


def test_an_error_keeps_its_line() -> None:
    text = (
        HEAD
        + "\n\ndef run():\n    q = tensor('q')\n    return xops.memory_efficient_attention(\n        q, missing, q)\n"
    )
    code = compile(instrument(text, "program.py", shadows(text)), "program.py", "exec")
    with oracle.installed(), pytest.raises(NameError) as caught:
        execute(code)
    assert caught.traceback[-1].lineno + 1 == text.count("\n")


def test_the_docstring_and_future_imports_stay_first() -> None:
    text = '"""What it is."""\nfrom __future__ import annotations\n' + HEAD + textwrap.dedent(PROGRAMS["super"])
    namespace: dict[str, Any] = {}
    with oracle.installed():
        exec(compile(instrument(text, "program.py", shadows(text)), "program.py", "exec"), namespace)
    assert namespace["__doc__"] == "What it is."
    assert HOOKS in namespace


def test_a_coroutine_stays_one() -> None:
    text = prepared("await")
    namespace: dict[str, Any] = {}
    with oracle.installed():
        exec(compile(instrument(text, "program.py", shadows(text)), "program.py", "exec"), namespace)
    assert inspect.iscoroutinefunction(namespace["attend"])
    with contextlib.closing(namespace["attend"]()) as coroutine:
        assert asyncio.iscoroutine(coroutine)


def test_another_text_than_the_planned_one_is_refused() -> None:
    text = prepared("super")
    with pytest.raises(Stray):
        instrument("# a line more\n" + text, "program.py", shadows(text))


def test_an_error_of_the_new_side_stays_with_it() -> None:
    assert isinstance(entry.beside(lambda: 1 / 0), entry.Failed)
    assert entry.beside(lambda: 1) == 1
