"""Questions whether the package is installed are answered, and named where they cannot be."""

from __future__ import annotations

import pytest

from tests.rules.common import Case, attend, by_name, codes_in, examples_hold, holds, mea, rule

USE = "\n\ndef attend(q, k, v, bias):\n    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)\n"
OURS = "import xformers.ops as xops\n\n"
HEAD = f"import importlib.util\n\n{OURS}"


FOUND = "importlib.util.find_spec('xformers') is not None"
BY_NAME = "importlib.util.find_spec(name)"


def asked(*lines: str, head: str = HEAD) -> str:
    return head + "".join(f"{line}\n" for line in lines) + USE


EMITTED = {
    "inline and without a helper, where it stands": Case(
        "import importlib.util\n" + attend(mea(), "c = importlib.util.find_spec('xformers') is not None"),
        ("assumed XF101", "finding XF403"),
        has=("importlib.util.find_spec('xformers') is not None",),
    ),
    "find_spec": Case(
        asked("FAST = importlib.util.find_spec('xformers') is not None"),
        ("finding XF142",),
        "answered with True",
        has=("FAST = True\n",),
        lacks=("importlib",),
        helper=True,
    ),
    "of a submodule": Case(
        asked("FAST = importlib.util.find_spec('xformers.ops') is not None"),
        ("finding XF142",),
        has=("FAST = True\n",),
        helper=True,
    ),
    "the other way round": Case(
        asked("SLOW = importlib.util.find_spec('xformers') is None"),
        ("finding XF142",),
        has=("SLOW = False\n",),
        helper=True,
    ),
    "its truth": Case(
        asked("FAST = bool(importlib.util.find_spec('xformers'))"),
        ("finding XF142",),
        has=("FAST = True\n",),
        helper=True,
    ),
    "by another name": Case(
        asked("FAST = find_spec('xformers') is not None", head=f"from importlib.util import find_spec\n{OURS}"),
        ("finding XF142",),
        has=("FAST = True\n",),
        helper=True,
    ),
    "a variable that is only asked": Case(
        asked("spec = importlib.util.find_spec('xformers')", "FAST = spec is not None"),
        ("finding XF142",),
        has=("spec = True\n",),
        helper=True,
    ),
    "a function that gives it, asked for its truth": Case(
        asked(
            "def release():",
            "    try:",
            "        return importlib.metadata.version('xformers')",
            "    except importlib.metadata.PackageNotFoundError:",
            "        return None",
            "",
            "",
            "FAST = bool(release())",
            head=f"import importlib.metadata\n{HEAD}",
        ),
        ("finding XF142",),
        has=("FAST = True\n",),
        lacks=("def release",),
        helper=True,
    ),
    "a variable that is used": Case(
        asked("spec = importlib.util.find_spec('xformers')", "print(spec and spec.origin)"),
        ("finding XF403",),
        "more is done with what it finds",
        has=("spec = importlib.util.find_spec('xformers')\n",),
        helper=True,
    ),
    "an element of a list": Case(
        asked("FOUND = [importlib.util.find_spec('xformers')]"), ("finding XF403",), has=("[importlib",), helper=True
    ),
    "a function that returns it": Case(
        asked("def find():", "    return importlib.util.find_spec('xformers')", "", "", "print(find().origin)"),
        ("finding XF403",),
        has=("return importlib",),
        helper=True,
    ),
    "by a function that is made": Case(
        asked("find = functools.partial(importlib.util.find_spec, 'xformers')", head=f"import functools\n{HEAD}"),
        ("finding XF403",),
        helper=True,
    ),
    "among all packages": Case(
        asked("FAST = 'xformers' in {d.name for d in distributions()}"), ("finding XF403",), helper=True
    ),
    "where it cannot be seen from where": Case(
        asked("FAST = __import__('importlib.util').util.find_spec('xformers') is not None"),
        ("finding XF142",),
        has=("FAST = True\n",),
        helper=True,
    ),
    "a function without a parameter": Case(
        asked(
            "def release():",
            "    try:",
            "        return importlib.metadata.version('xformers')",
            "    except importlib.metadata.PackageNotFoundError:",
            "        return None",
            "",
            "",
            "FAST = release() is not None",
            head=f"import importlib.metadata\n\n{OURS}",
        ),
        ("finding XF142",),
        has=("FAST = True\n",),
        lacks=("release", "importlib"),
        helper=True,
    ),
    "a release that is shown": Case(
        asked(
            "def shown():",
            "    return version('xformers') if HAS_XFORMERS else 'none'",
            head="from importlib.metadata import version\n\nimport xformers.ops as xops\n\nHAS_XFORMERS = True\n\n\n",
        ),
        ("finding XF142",),
        has=("    return 'none'\n",),
        helper=True,
    ),
    "a function of another file": Case(
        asked("FAST = is_xformers_available()", head=f"from utils import is_xformers_available\n{OURS}"),
        ("finding XF403",),
        "asks whether xformers is installed",
        has=("FAST = is_xformers_available()\n",),
        helper=True,
    ),
    "by a name that is handed on": Case(
        asked("FAST = package_available('xformers')"), ("finding XF403",), "by a name that is handed on", helper=True
    ),
    "by a loop": Case(
        asked("FOUND = {n: importlib.util.find_spec(n) for n in ('xformers', 'numba')}"),
        ("finding XF403",),
        has=("('xformers', 'numba')",),
        helper=True,
    ),
    "by a loop over a variable": Case(
        asked("NAMES = ['xformers']", "for name in NAMES:", "    importlib.import_module(name)"),
        ("finding XF403",),
        helper=True,
    ),
    "by a function of the file": Case(
        asked("def there(name):", "    return importlib.util.find_spec(name)", "", "", "FAST = there('xformers')"),
        ("finding XF403",),
        helper=True,
    ),
    "a release": Case(
        asked("x = f(version('xformers'))", head="from importlib.metadata import version\n" + HEAD),
        ("finding XF403",),
        helper=True,
    ),
    "by a function of a function": Case(
        asked(
            "def deep(n):",
            "    return importlib.util.find_spec(n)",
            "",
            "",
            "def there(n):",
            "    return deep(n)",
            "",
            "",
            "FAST = there('xformers')",
        ),
        ("finding XF403",),
        helper=True,
    ),
    "by a star": Case(
        asked("FAST = is_xformers_available()", head=f"from utils import *\n{OURS}"), ("finding XF403",), helper=True
    ),
    "by a method": Case(
        asked("FAST = self.has_xformers()"), ("finding XF403",), has=("self.has_xformers()",), helper=True
    ),
    "a release shown by a question": Case(
        asked(
            "def shown():",
            "    return version('xformers') if is_xformers_available() else 'none'",
            head="from importlib.metadata import version\nfrom utils import is_xformers_available\n" + OURS,
        ),
        ("finding XF142",),
        has=("    return 'none'\n",),
        helper=True,
    ),
    "a release shown by something else": Case(
        asked(
            "def shown(wanted):",
            "    return version('xformers') if wanted else 'none'",
            head=HEAD.replace("import importlib.util", "from importlib.metadata import version"),
        ),
        ("finding XF403",),
        has=("version('xformers') if wanted",),
        helper=True,
    ),
    "a release shown, or nothing": Case(
        asked(
            "def shown():",
            "    return version('xformers') if HAS_XFORMERS else None",
            head=HEAD.replace("import importlib.util", "from importlib.metadata import version"),
        ),
        ("finding XF403",),
        has=("version('xformers') if",),
        helper=True,
    ),
}
EMITTED |= {
    "to switch another library on": Case(
        asked(f"if {FOUND}:", "    unet.enable_xformers_memory_efficient_attention()"),
        ("finding XF403",),
        "to decide whether another library uses it",
        has=(f"if {FOUND}:\n",),
        helper=True,
    ),
    "to install it": Case(
        asked("if importlib.util.find_spec('xformers') is None:", "    run_pip('install xformers')"),
        ("finding XF403",),
        "to install it",
        helper=True,
    ),
    "by a parameter that it is the default of": Case(
        asked("def there(kind, name='xformers'):", f"    return {BY_NAME}"),
        ("finding XF403",),
        has=(BY_NAME,),
        helper=True,
    ),
    "by a parameter with a name that it is the default of": Case(
        asked("def there(kind, *, other, name='xformers'):", f"    return {BY_NAME}"), ("finding XF403",), helper=True
    ),
    "by a parameter that is held against it": Case(
        asked("def there(name):", "    if name == 'xformers':", f"        return {BY_NAME}"),
        ("finding XF403",),
        helper=True,
    ),
    "by a variable": Case(asked("name = 'xformers'", f"FAST = {BY_NAME}"), ("finding XF403",), helper=True),
    "by a variable, and a word of another package": Case(
        asked("print('numba.core')", "name = 'xformers'", f"FAST = {BY_NAME}"), ("finding XF403",), helper=True
    ),
    "in an assignment that is only asked": Case(
        asked("if (spec := importlib.util.find_spec('xformers')) is not None:", "    print(spec is None)"),
        ("finding XF142",),
        lacks=("find_spec",),
        helper=True,
    ),
    "in an assignment that is used": Case(
        asked("if (spec := importlib.util.find_spec('xformers')) is not None:", "    print(spec.origin)"),
        ("finding XF403",),
        helper=True,
    ),
    "in an assignment that is handed to a function": Case(
        asked("print(spec := importlib.util.find_spec('xformers'))"), ("finding XF403",), helper=True
    ),
    "with an annotation": Case(
        asked("spec: object = importlib.util.find_spec('xformers')", "FAST = spec is not None"),
        ("finding XF142",),
        has=("spec: object = True\n",),
        helper=True,
    ),
    "for two variables": Case(asked("a = b = importlib.util.find_spec('xformers')"), ("finding XF403",), helper=True),
    "held against something else": Case(
        asked("FAST = importlib.util.find_spec('xformers') == 3"), ("finding XF403",), helper=True
    ),
    "held against two": Case(
        asked("FAST = importlib.util.find_spec('xformers') is not None is not False"), ("finding XF403",), helper=True
    ),
    "by a function that is called like a question": Case(
        asked("def has_it():", "    return importlib.util.find_spec('xformers')", "", "", "FAST = has_it()"),
        ("finding XF142",),
        has=("    return True\n",),
        helper=True,
    ),
    "by a function whose answer is only asked for": Case(
        asked("def found():", "    return importlib.util.find_spec('xformers')", "", "", "FAST = found() is None"),
        ("finding XF142",),
        has=("FAST = False\n",),
        lacks=("def found",),
        helper=True,
    ),
    "by a function that nothing calls": Case(
        asked("def found():", "    return importlib.util.find_spec('xformers')"),
        ("finding XF142",),
        has=("    return True\n",),
        helper=True,
    ),
    "by a function that is used for more": Case(
        asked(
            "def found():",
            "    return importlib.util.find_spec('xformers')",
            "",
            "",
            "FAST = found() is None",
            "f(found)",
        ),
        ("finding XF142",),
        has=("FAST = found() is None\n", "    return True\n"),
        helper=True,
    ),
    "by a loop over a list with an annotation": Case(
        asked("NAMES: list = ['xformers']", "for name in NAMES:", f"    {BY_NAME}"), ("finding XF403",), helper=True
    ),
    "by a comprehension in a call": Case(
        asked("names = ['xformers']", f"f(1, [{BY_NAME} for name in names])"), ("finding XF403",), helper=True
    ),
    "by a loop that waits": Case(
        asked("async def f():", "    async for name in ('xformers',):", f"        {BY_NAME}"),
        ("finding XF403",),
        helper=True,
    ),
    "in a condition, among all packages": Case(
        asked("if 'xformers' in packages_distributions():", "    print(1)"), ("finding XF403",), helper=True
    ),
}
NEAR_MISSES = {
    "a method that is called so": Case(
        asked("class A:", "    def fast(self):", "        return self.find_spec('xformers') is not None"),
        has=("self.find_spec('xformers') is not",),
        helper=True,
    ),
    "a function of the file that is called so": Case(
        asked("def find_spec(name):", "    return name", "", "", "FAST = find_spec('xformers') is not None"),
        has=("FAST = find_spec('xformers') is not None\n",),
        helper=True,
    ),
    "a parameter beside one that it is the default of": Case(
        asked("def there(other, name='numba', more='xformers'):", f"    return {BY_NAME}"), has=(BY_NAME,), helper=True
    ),
    "a loop that looks nothing up": Case(
        asked("for name in ('xformers', 'numba'):", "    print(name)"), has=("('xformers', 'numba')",), helper=True
    ),
    "a loop beside a list": Case(
        asked("NAMES = ['xformers']", "for name in ('numba',):", f"    {BY_NAME}"), has=("['xformers']",), helper=True
    ),
    "of another package": Case(
        asked("FAST = importlib.util.find_spec('numba') is not None"), has=("find_spec('numba')",), helper=True
    ),
    "without a helper": Case(asked("FAST = importlib.util.find_spec('xformers') is not None"), same=True),
    "a function of the file that asks something else": Case(
        asked("def has_xformers():", "    return True", "", "", "FAST = has_xformers()"),
        has=("FAST = has_xformers()",),
        helper=True,
    ),
    "a list that nothing goes through": Case(
        asked("NAMES = ['xformers', 'numba']", "print(NAMES)"), has=("['xformers', 'numba']",), helper=True
    ),
    "a list that nothing reads": Case(
        asked("NAMES = ['xformers', 'numba']"), has=("['xformers', 'numba']",), helper=True
    ),
    "a name among other words": Case(asked("print('xformers is fast')"), has=("xformers is fast",), helper=True),
    "a function that asks for nothing": Case(asked("install('xformers')"), has=("install('xformers')",), helper=True),
    "a variable": Case(
        asked("NAME = 'numba'", "FAST = importlib.util.find_spec(NAME)"), has=("find_spec(NAME)",), helper=True
    ),
    "with private parts": Case(
        "from xformers.ops.fmha import _x\n" + asked("FAST = importlib.util.find_spec('xformers') is not None"),
        same=True,
        helper=True,
    ),
    "a function that is called so and asks nothing": Case(
        asked("def package_available(name):", "    return True", "", "", "FAST = package_available('xformers')"),
        has=("package_available('xformers')",),
        helper=True,
    ),
    "a function that calls itself": Case(
        asked("def there(name):", "    return there(name)", "", "", "FAST = there('xformers')"),
        has=("there('xformers')",),
        helper=True,
    ),
    "two functions that call each other": Case(
        asked("def a(n):", "    return b(n)", "", "", "def b(n):", "    return a(n)", "", "", "FAST = a('xformers')"),
        has=("a('xformers')",),
        helper=True,
    ),
}


def test_where_xformers_is_still_imported_the_question_stays() -> None:
    question = "FAST = importlib.util.find_spec('xformers') is not None"
    text = asked(question, "x = xops.SparseCSRTensor")
    holds(Case(text, ("finding XF402",), has=("import xformers.ops as xops\n",), helper=True))
    holds(Case(text, ("finding XF402",), has=(f"{question}\n",), helper=True))


def test_a_question_that_cannot_be_answered_keeps_the_others() -> None:
    lines = ["FAST = importlib.util.find_spec('xformers') is not None", "SLOW = not is_xformers_available()"]
    new = holds(Case(asked(*lines, head="from u import is_xformers_available\n" + HEAD), helper=True)).new
    assert all(f"{line}\n" in new for line in lines)


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("installed_questions").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("installed_questions").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("installed_questions")


@pytest.mark.parametrize(
    "name", ["find_spec", "find_loader", "import_module", "__import__", "version", "distribution", "get_distribution"]
)
def test_what_looks_a_package_up(name: str) -> None:
    lines = ("def there(name):", f"    return {name}(name)", "", "", "FAST = there('xformers')")
    holds(Case(asked(*lines), ("finding XF403",), helper=True))


@pytest.mark.parametrize(
    ("flag", "times", "asked_again"),
    [("FAST", 1, False), ("OTHER", 2, False), ("FAST = OTHER", 3, False)],
)
def test_a_flag_that_the_guard_behind_it_sets_is_set_once(flag: str, times: int, asked_again: bool) -> None:
    head = "import importlib.util\n\n"
    guard = "try:\n    import xformers.ops as xops\n\n    FAST = True\nexcept ImportError:\n    FAST = False"
    text = asked(f"{flag} = importlib.util.find_spec('xformers') is not None", guard, head=head)
    new = holds(Case(text, ("finding XF142",), helper=True)).new
    assert new.count(" = True") + new.count("FAST = OTHER") == times, new
    assert ("find_spec" in new) == asked_again


def test_a_flag_is_kept_where_it_is_no_repetition() -> None:
    guard = "try:\n    import xformers.ops as xops\n\n    FAST = True\nexcept ImportError:\n    FAST = False"
    head = "import importlib.util\n\n"
    apart = asked("FAST = importlib.util.find_spec('xformers') is not None", "x = f(FAST)", guard, head=head)
    assert holds(Case(apart, helper=True)).new.count("FAST = True\n") == 2
    opposite = asked("FAST = importlib.util.find_spec('xformers') is None", guard, head=head)
    assert "FAST = False\n" in holds(Case(opposite, helper=True)).new
