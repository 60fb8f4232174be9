"""Rules with one small fault each, and whether the tests notice.

    python benchmarks/mutants.py [RULE …] [--every N] [--tests PATH …] [--again] [--record FILE] [--store FOLDER]
        [--jobs N] [--budget SECONDS]

mutmut (`pip install mutmut`) makes the faults, one at a time, from the functions of `xf2sdpa/rules`. The tests are
collected once; each fault is put into a fork of that process, which runs those tests that reach the faulty line, the
rule's own first, until one fails. `--every N` takes the first, the N-th after it and so on of each rule's faults, in
the order of its file. `--record` writes into a file (benchmarks/results/mutants.json) how many of each rule's faults
were tried and noticed, and those that were not, with what is said there of why; `--again` takes only these. `--store`
keeps the faults and which test runs which line, for a second run over the same rules, `--budget` is the processor time
that a fault has to be noticed in. Prints each survivor, then how many of how many faults were tried; exits with 1 if
there is one without a reason.
"""

from __future__ import annotations

import argparse
import ast
import gc
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import NoReturn

import coverage
import pytest

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "xf2sdpa" / "rules"
TESTS = ("tests/rules", "tests/rewrite", "tests/rulekit", "tests/test_fixtures.py", "tests/kinds", "tests/run")
SENTENCES = "tests/rewrite/test_words.py::"
SECONDS = 600


@dataclass(frozen=True)
class Mutant:
    """One fault: the function with it, where its statement begins in the file (1-based), and the lines that differ."""

    rule: str
    function: str
    line: int
    old: str
    new: str
    source: str = field(repr=False)
    number: int = 1
    """Which of those that read the same in their function."""

    def __str__(self) -> str:
        told = f"{self.rule}.{self.function}: {self.old or '(nothing)'} -> {self.new or '(nothing)'}"
        return told if self.number == 1 else f"{told} ({self.number})"


def mutants_of(path: Path) -> Iterator[Mutant]:
    """All that mutmut makes of a file."""
    from mutmut.mutation.file_mutation import mutate_file_contents  # noqa: PLC0415 - no part of the test extra

    text = path.read_text("utf-8")
    code = mutate_file_contents(str(path), text).code
    lines = code.splitlines()
    plain = {f.name: f for f in ast.parse(text).body if isinstance(f, ast.FunctionDef)}
    functions = {f.name: f for f in ast.parse(code).body if isinstance(f, ast.FunctionDef)}
    alike: dict[str, int] = {}
    for name, node in functions.items():
        whole, mark, number = name.rpartition("__mutmut_")
        if not mark or number == "orig":
            continue
        original, function = functions[f"{whole}__mutmut_orig"], whole.removeprefix("x_")
        old = lines[original.lineno - 1 : original.end_lineno]
        new = lines[node.lineno - 1 : node.end_lineno]
        old[0], new[0] = (line.replace(f, function, 1) for line, f in ((old[0], original.name), (new[0], name)))
        start, ends = _differing(old, new)
        gone, come = old[start : len(old) - ends], new[start : len(new) - ends]
        said = [" ".join(part.strip() for part in parts) for parts in (gone, come)]
        line = plain[function].lineno + start
        parts = [part for part in ast.walk(plain[function]) if isinstance(part, ast.stmt) and part.lineno <= line]
        around = max((part.lineno for part in parts if line <= (part.end_lineno or 0)), default=line)
        if around == plain[function].lineno:  # its head, which runs once: take the first line that each call runs
            body = plain[function].body
            around = body[1 if ast.get_docstring(plain[function]) and len(body) > 1 else 0].lineno
        mutant = Mutant(path.stem, function, around, said[0], said[1], source="\n".join(new))
        alike[str(mutant)] = alike.get(str(mutant), 0) + 1
        yield replace(mutant, number=alike[str(mutant)])


def _differing(old: Sequence[str], new: Sequence[str]) -> tuple[int, int]:
    """How many lines two lists share at their beginning, and at their end."""
    short = min(len(old), len(new))
    start = next((i for i in range(short) if old[i] != new[i]), short)
    ends = next((i for i in range(short - start) if old[-1 - i] != new[-1 - i]), short - start)
    return start, ends


def put_in(mutant: Mutant) -> None:
    """Give the running function the code of its faulty twin: whoever holds the function has the fault."""
    module = import_module(f"xf2sdpa.rules.{mutant.rule}")
    space: dict[str, object] = {}
    exec(compile(f"from __future__ import annotations\n{mutant.source}", mutant.rule, "exec"), vars(module), space)
    function, faulty = vars(module)[mutant.function], space[mutant.function]
    assert isinstance(function, FunctionType)
    assert isinstance(faulty, FunctionType)
    function.__code__, function.__defaults__ = faulty.__code__, faulty.__defaults__
    function.__kwdefaults__ = faulty.__kwdefaults__


class Plugin:
    """Runs the collected tests as often as there are mutants, each time in a fork."""

    def __init__(self, mutants: Sequence[Mutant], jobs: int, store: Path, budget: float) -> None:
        self.mutants, self.jobs, self.store, self.budget = mutants, jobs, store, budget
        self.failed = False
        self.fates: dict[Mutant, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        reached, seconds = _reached(items, self.store)
        running: dict[int, tuple[Mutant, float]] = {}
        gc.freeze()  # else each fork's first collection copies all that the tests have loaded
        for mutant in self.mutants:
            tests = reached.get((mutant.rule, mutant.line), set())
            order = sorted(tests, key=lambda test, mutant=mutant: (_turn(test, mutant), seconds[test]))
            while len(running) >= self.jobs:
                self._wait(running)
            child = os.fork()
            if not child:
                self._die_as(mutant, [items[test] for test in order])
            running[child] = mutant, time.monotonic()
        while running:
            self._wait(running)
        return True

    def _die_as(self, mutant: Mutant, tests: Sequence[pytest.Item]) -> NoReturn:
        """In the fork: 0 where every test passes, 1 where one fails, 2 where there is none."""
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        put_in(mutant)
        begun = time.process_time()
        for number, item in enumerate(tests):
            if time.process_time() - begun > self.budget:
                break
            following = tests[number + 1] if number + 1 < len(tests) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                os._exit(1)
        os._exit(0 if tests else 2)

    def _wait(self, running: dict[int, tuple[Mutant, float]]) -> None:
        """Until at least one fork has ended, or has taken too long."""
        while True:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child in running:
                mutant, _ = running.pop(child)
                fate = {0: "survived", 2: "no test"}.get(os.waitstatus_to_exitcode(status), "killed")
                self._note(mutant, fate)
                return
            for late, (mutant, since) in list(running.items()):
                if time.monotonic() - since > SECONDS:
                    os.kill(late, 9)
                    os.waitpid(late, 0)
                    del running[late]
                    self._note(mutant, "too long")
                    return
            time.sleep(0.05)

    def _note(self, mutant: Mutant, fate: str) -> None:
        self.fates[mutant] = fate
        if fate != "killed":
            print(f"{fate}: {mutant}", flush=True)


def _turn(test: str, mutant: Mutant) -> int:
    """The rule's own tests come first, then its sentences; the sentences of all rules, a long test, are the last."""
    if test.startswith(SENTENCES):
        return 1 if test.endswith(f"[test_{mutant.rule}]") else 3
    own = (f"tests/rules/test_{mutant.rule}.py", f"tests/rules/test_{mutant.rule}_")
    return 0 if test.startswith(own) else 2


def _reached(items: Mapping[str, pytest.Item], store: Path) -> tuple[dict[tuple[str, int], set[str]], dict[str, float]]:
    """Which tests run which line of which rule, and how long each takes, from a run in a fork without a fault."""
    if not (store / "seconds.json").exists():
        child = os.fork()
        if not child:
            _record(items, store)
        assert os.waitpid(child, 0)[1] == 0
    seconds = json.loads((store / "seconds.json").read_text("utf-8"))
    data = coverage.CoverageData(str(store / "lines"))
    data.read()
    reached: dict[tuple[str, int], set[str]] = defaultdict(set)
    for name in data.measured_files():
        for line, contexts in data.contexts_by_lineno(name).items():
            reached[Path(name).stem, line] |= {context for context in contexts if context in items}
    return reached, seconds


def _record(items: Mapping[str, pytest.Item], folder: Path) -> NoReturn:
    """In the fork: run every test under coverage, one context each."""
    measured = coverage.Coverage(data_file=str(folder / "lines"), source=[str(RULES)], config_file=False)
    measured.start()
    seconds: dict[str, float] = {}
    tests = list(items.values())
    for item, following in zip(tests, [*tests[1:], None], strict=True):
        measured.switch_context(item.nodeid)
        begun = time.monotonic()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        seconds[item.nodeid] = time.monotonic() - begun
    measured.stop()
    measured.save()
    (folder / "seconds.json").write_text(json.dumps(seconds), "utf-8")
    os._exit(0)


class Record:
    """What is known of the rules' faults: how many there are, were tried and noticed, and those that were not."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        stored = json.loads(path.read_text("utf-8")) if path is not None and path.exists() else {}
        self.rules: dict[str, dict[str, int]] = stored.get("rules", {})
        self.left: dict[str, dict[str, str]] = {entry["fault"]: entry for entry in stored.get("left", ())}

    def take(self, mutants: Sequence[Mutant], tried: Mapping[Mutant, str], *, again: bool) -> None:
        """Add a run: of all faults, those that were tried, each with its fate; `again` if they were left before."""
        for rule in {mutant.rule for mutant in tried}:
            fates = {str(mutant): fate for mutant, fate in tried.items() if mutant.rule == rule}
            if not again:
                count = sum(mutant.rule == rule for mutant in mutants)
                self.rules[rule] = {"faults": count, "tried": len(fates), "noticed": 0}
            before = {fault: entry for fault, entry in self.left.items() if fault.partition(".")[0] == rule}
            kept = {fault: entry for fault, entry in before.items() if again and fault not in fates}
            left = (fault for fault, fate in fates.items() if fate != "killed")
            kept |= {fault: {"fault": fault, **before.get(fault, {}), "fate": fates[fault]} for fault in left}
            self.left = {fault: entry for fault, entry in self.left.items() if fault not in before} | kept
            self.rules[rule]["noticed"] = self.rules[rule]["tried"] - len(kept)

    def write(self) -> None:
        """Store it, the rules in the order of their names."""
        if self.path is not None:
            left = sorted(self.left.values(), key=lambda entry: entry["fault"])
            whole = {"rules": dict(sorted(self.rules.items())), "left": left}
            self.path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", "utf-8")

    def __str__(self) -> str:
        faults, tried, noticed = (sum(r[key] for r in self.rules.values()) for key in ("faults", "tried", "noticed"))
        reasons = sum("why" in entry for entry in self.left.values())
        return (
            f"{tried} of {faults} faults tried: {noticed} noticed, {len(self.left)} not, {reasons} of these explained"
        )


def _all_mutants(store: Path) -> list[Mutant]:
    """All of all rules, made anew where the store has none."""
    stored = store / "mutants.json"
    if not stored.exists():
        made = [asdict(mutant) for path in sorted(RULES.glob("*.py")) for mutant in mutants_of(path)]
        stored.write_text(json.dumps(made), "utf-8")
    return [Mutant(**entry) for entry in json.loads(stored.read_text("utf-8"))]


def main() -> int:
    """Print the survivors; 1 if there is any without a reason."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rules", nargs="*")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--record", type=Path)
    parser.add_argument("--store", type=Path, default=Path(tempfile.mkdtemp()))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--budget", type=float, default=600)
    parser.add_argument("--tests", nargs="+", default=TESTS)
    asked = parser.parse_args()
    everything = _all_mutants(asked.store)
    record = Record(asked.record)
    rules = set(asked.rules) or {mutant.rule for mutant in everything}
    mutants = [m for rule in sorted(rules) for m in [m for m in everything if m.rule == rule][:: asked.every]]
    if asked.again:
        mutants = [m for m in everything if str(m) in record.left and m.rule in rules]
    plugin = Plugin(mutants, asked.jobs, asked.store, asked.budget)
    pytest.main(["-q", "-p", "no:cacheprovider", "-s", "--no-header", *asked.tests], plugins=[plugin])
    record.take(everything, plugin.fates, again=asked.again)
    record.write()
    print(record)
    return int(any("why" not in entry for entry in record.left.values()))


if __name__ == "__main__":
    sys.exit(main())
