"""Writes the text of a program of one choice."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from tests.equivalence import Given
from tests.property import options as o
from tests.property.program import NOT_SHOWN, UNPACKED, Choice, Program, Sizes


def template_name(storage: o.Option) -> str:
    """The attribute of an expression that holds its template for a storage order."""
    return "heads_first" if storage.name.startswith("heads first") else storage.name.replace(" ", "_")


def parallel(expression: o.Expression, attribute: str) -> str:
    """The template of another expression that gives the same; "" where there is none."""
    other = o.PARALLEL.get(expression.name, "")
    return next((getattr(e, attribute) for e in o.EXPRESSIONS if e.name == other), "")


LISTS = {"items of a list": "items[{i}]", "popped from a list": "items.pop(0)", "walrus": "(t{i} := {t})"}


class Writer:
    """Writes the program of one choice."""

    def __init__(self, choice: Choice, sizes: Sizes) -> None:
        self.choice = choice
        self.sizes = sizes
        self.tokens = choice.naming.tokens
        self.sequence_first = choice.storage.name == "sequence first"
        self.names = ("q", "k", "v")

    # -------------------------------------------------------------------------------- the whole program

    def program(self, aim: str, storage: int) -> Program:
        """The program with what belongs to it."""
        choice = self.choice
        return Program(
            text=self.text(),
            traits=choice.traits | {"aim": aim},
            aim=aim,
            givens=self.givens(),
            storage=storage,
            loose=choice.use.loose,
            hard=choice.hard,
            keeps=self.kept(),
            second_site=choice.neighbour.second_site,
            import_goes=choice.guard.goes and choice.neighbour.name == "none",
        )

    def text(self) -> str:
        parts = [self.header(), self.module_functions(), self.class_text(), self.run_text()]
        return "\n\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"

    def givens(self) -> tuple[Given, ...]:
        s, choice = self.sizes, self.choice
        queries, keys = (s.batch, s.queries, s.dim), (s.batch, s.keys, s.dim)
        if choice.expression in (NOT_SHOWN, UNPACKED):
            heads = [(n, s.heads, s.width) if choice.rank == 4 else (n, s.width) for n in (s.queries, s.keys)]
            queries, keys = ((s.batch, *rest) for rest in heads)
        shapes = {"q": queries, "k": keys, "v": keys}
        values = choice.mask.values if choice.mask.parameter else (None,)
        return tuple(Given(shapes, {"flag": value} if choice.mask.parameter else {}) for value in values)

    # ----------------------------------------------------------------------------------- top of the file

    def header(self) -> str:
        choice = self.choice
        lines = ["import importlib.util", "import os", "", "import torch", "from torch import nn"]
        lines += [choice.naming.line] if choice.naming.line else []
        lines += ["from einops import rearrange"]
        if not choice.guard.local:
            imports = "\n".join(self.import_statements())
            indented = textwrap.indent(imports, "    ")
            lines += ["", choice.guard.text.format(imports=imports, indented=indented)]
        if choice.neighbour.module and not choice.neighbour.second_site:
            used = choice.imports.of(choice.neighbour.uses)
            lines += self._imports_for_module_level()
            lines += ["", choice.neighbour.module.format(used=used)]
        return "\n".join(lines)

    def _imports_for_module_level(self) -> list[str]:
        return ["", *self.import_statements()] if self.choice.guard.local else []

    def import_statements(self) -> list[str]:
        choice = self.choice
        others = [choice.neighbour.uses] if choice.neighbour.uses else []
        if choice.op.text.startswith(("{", "(")):
            others.append("MemoryEfficientAttentionFlashAttentionOp")
        return choice.imports.statements(others, ["LowerTriangularMask"] if choice.mask.causal else [])

    def module_functions(self) -> str:
        choice, parts = self.choice, []
        if choice.neighbour.second_site:
            body = choice.neighbour.module.format(op=choice.imports.of_op())
            parts.append(self._with_local_import(body))
        if choice.form.name == "module function":
            parts.append("def split(t, h):\n" + self._splitting("h, d = h, t.shape[-1] // h"))
        if choice.twist.module:
            parts.append(self.twist_text(choice.twist.module))
        if choice.op.blocks:
            parts.append("def pick_op():\n    return None")
        return "\n\n\n".join(parts)

    def _with_local_import(self, function: str) -> str:
        if not self.choice.guard.local:
            return function
        head, *body = function.split("\n")
        return "\n".join([head, *(f"    {line}" for line in self.import_statements()), *body])

    def _splitting(self, sizes: str) -> str:
        """The body of a helper that makes heads of its argument `t`."""
        shape = "n, b, _ = t.shape" if self.sequence_first else "b, n, _ = t.shape"
        return textwrap.indent(f"{shape}\n{sizes}\nreturn {self.heads_of('t', tokens='n')}", "    ")

    # ------------------------------------------------------------------------------------------ the class

    def class_text(self) -> str:
        choice = self.choice
        init = [
            "super().__init__()",
            "self.heads = heads",
            "self.scale = 0.3",
            "self.dropout = nn.Dropout(0.0)",
            "self.attention_op = None",
            "self.mask = None",
            "self.upcast = True",
            "self.gain = nn.Parameter(torch.full((1,), 1.25))",
            *self.projections(),
        ]
        if choice.use.init:
            init += ["width = dim // heads", choice.use.init]
        body = [self.def_text("__init__", "dim, heads", init)]
        if choice.form.name == "method":
            split = self._splitting("h, d = self.heads, t.shape[-1] // self.heads")
            body.append("def split(self, t):\n" + split)
        if "self.merge(" in "".join(choice.use.lines):
            body.append(self.def_text("merge", "t", ["b, n = t.shape[:2]", "return t.view(b, n, -1)"]))
        body.append(self.def_text("forward", self.parameters(), self.forward_lines()))
        return "class Attention(nn.Module):\n" + textwrap.indent("\n\n".join(body), "    ")

    @staticmethod
    def def_text(name: str, parameters: str, lines: Sequence[str]) -> str:
        return f"def {name}(self, {parameters}):\n" + textwrap.indent("\n".join(lines), "    ")

    def projections(self) -> list[str]:
        init = self.choice.projection.init
        if not init:
            return []
        if self.choice.fused:
            return [init.format(q="qkv", width="3 * dim")]
        return [init.format(q=name, width="dim") for name in self.names]

    def parameters(self) -> str:
        tensors = "x, context, values" if self.choice.shown else "q, k, v"
        flag = self.choice.mask.parameter
        return f"{tensors}, {flag}=None" if flag else tensors

    def forward_lines(self) -> list[str]:
        choice = self.choice
        lines = [*self.import_statements(), ""] if choice.guard.local else []
        lines += choice.guard.check.split("\n") if choice.guard.check else []
        lines += ["inputs = x"] if choice.shown else ["inputs = q"]
        lines += self.shape_lines()
        if choice.fused:
            lines += self.fused_lines()
        elif choice.shown:
            lines += self.separate_lines()
        if choice.storage.name == "heads first, transposed by name":
            lines += ["q = q.transpose(1, 2)", "k, v = k.transpose(1, 2), v.transpose(1, 2)"]
        lines += choice.cast.lines
        lines += [self.fill(line) for line in choice.mask.lines]
        if choice.twist.before:
            lines += self.twist_text(choice.twist.before).split("\n")
        body = "\n".join(self.use_lines())
        around = choice.twist.around.format(body=body, indented=textwrap.indent(body, "    "))
        return lines + around.split("\n")

    def kept(self) -> str:
        """The text that a rewrite must not touch."""
        twist = self.choice.twist
        return self.twist_text(twist.before or twist.module) if twist.keeps else ""

    def twist_text(self, template: str) -> str:
        """A text of the twist, filled in."""
        op = self.choice.imports.of_op()
        return template.format(op=op, root=op.split(".", maxsplit=1)[0])

    def shape_lines(self) -> list[str]:
        n = self.tokens
        if self.choice.expression is NOT_SHOWN:
            return [
                "x = q",
                "b, h, d = q.shape[0], self.heads, q.shape[-1]",
                f"{n}, m = q.shape[1], k.shape[1]",
            ]
        if self.choice.expression is UNPACKED:
            unpack = f"b, {n}, h, d = q.shape" if self.choice.rank == 4 else f"b, {n}, d = q.shape"
            rest = [] if self.choice.rank == 4 else ["h = 1"]
            return ["x = q", unpack, *rest, "m = k.shape[1]"]
        lines = [f"b, {n}, c = x.shape", f"m = {'x' if self.choice.fused else 'context'}.shape[1]"]
        lines += ["h, d = self.heads, c // self.heads"]
        if self.sequence_first:
            lines.append("x, context, values = x.transpose(0, 1), context.transpose(0, 1), values.transpose(0, 1)")
        return lines

    # ------------------------------------------------------------------------------------- q, k and v

    def fused_lines(self) -> list[str]:
        projected = self.choice.projection.apply.format(q="qkv", x="x")
        return [f"qkv = {projected}", *(line.format(n=self.tokens) for line in self.choice.expression.lines)]

    def separate_lines(self) -> list[str]:
        form, apply = self.choice.form, self.choice.projection.apply
        inputs = ("x", "context", "values")
        projected = {q: apply.format(q=q, x=x) for q, x in zip(self.names, inputs, strict=True)}
        if form.inline and apply != "{x}" and not _is_operator(apply):
            return [f"{q} = {self.heads_of(text)}" for q, text in projected.items()]
        lines = [f"{q} = {text}" for q, text in projected.items()]
        if form.inline:
            return lines + [f"{q} = {self.heads_of(q)}" for q in self.names]
        attribute = template_name(self.choice.storage)
        made = {q: self.heads_of(q) for q in self.names}
        q2 = parallel(self.choice.expression, attribute).format(t="q", n="-1")
        return lines + [line.format(**made, q2=q2, e=self.heads_of("t")) for line in form.lines]

    def heads_of(self, tensor: str, tokens: str = "-1") -> str:
        """The expression that makes heads of a tensor."""
        template = getattr(self.choice.expression, template_name(self.choice.storage))
        return template.format(t=tensor, n=tokens)

    # -------------------------------------------------------------------------------- the call, its result

    def fill(self, text: str) -> str:
        """A template of the mask or the result, filled in."""
        rank4 = self.choice.rank == 4
        return text.format(
            ltm=self.choice.imports.of_mask("LowerTriangularMask"),
            tokens=self.tokens,
            n=self.tokens,
            lead="b, h" if rank4 else "q.shape[0]",
            rows="b * h" if rank4 else "q.shape[0]",
            first=":, :, 0" if rank4 else ":, 0",
            colons=":, :" if rank4 else ":",
            call="{call}",
        )

    def use_lines(self) -> list[str]:
        lines = [self.fill(line) for line in self.choice.use.lines]
        prelude, call = self.call()
        return prelude + [line.replace("{call}", call) for line in lines]

    def call(self) -> tuple[list[str], str]:
        """Statements before the call, and the call."""
        choice, op = self.choice, self.choice.imports.of_op()
        tensors = [self.tensor(name) for name in self.names]
        extras = self.extras()
        style = choice.style.name
        if style in LISTS:
            tensors = [LISTS[style].format(i=i, t=tensor) for i, tensor in enumerate(tensors)]
            setup = (
                [] if style == "walrus" else ["items = [" + ", ".join(self.tensor(name) for name in self.names) + "]"]
            )
            return setup, f"{op}({', '.join(tensors)}{_keywords(extras)})"
        if style == "star":
            return ["qkv = (" + ", ".join(tensors) + ")"], f"{op}(*qkv{_keywords(extras)})"
        if style == "double star":
            rest = ", ".join(f"{name}={text}" for name, text in extras.items())
            return [f"options = dict({rest})"], f"{op}({', '.join(tensors)}, **options)"
        if style == "all keywords":
            mixed = dict(zip(("key", "value"), tensors[1:], strict=True)) | extras | {"query": tensors[0]}
            return [], f"{op}({_keywords(mixed).removeprefix(', ')})"
        if style == "all positional" and not choice.mask.blocks:
            return [], f"{op}({', '.join(tensors + self.positional(extras))}{_keywords(_only_op(extras))})"
        if style == "several lines":
            listed = [*tensors, *(f"{name}={text}" for name, text in extras.items())]
            inner = "".join(f"    {item},  # number {i}\n" for i, item in enumerate(listed))
            return [], f"{op}(\n{inner})"
        positional = [extras.pop("attn_bias")] if style == "positional" and "attn_bias" in extras else []
        return [], f"{op}({', '.join(tensors + positional)}{_keywords(extras)})"

    def tensor(self, name: str) -> str:
        in_call = self.choice.storage.name == "heads first, transposed in the call"
        return f"{name}.transpose(1, 2)" if in_call else name

    def extras(self) -> dict[str, str]:
        """The arguments besides the tensors, by keyword."""
        choice = self.choice
        flash = choice.imports.of("MemoryEfficientAttentionFlashAttentionOp")
        found = {
            "attn_bias": self.fill(choice.mask.argument),
            "p": choice.dropout.text,
            "scale": choice.scale.text,
            "op": choice.op.text.format(flash=flash),
        }
        return {name: text for name, text in found.items() if text}

    @staticmethod
    def positional(extras: dict[str, str]) -> list[str]:
        """Bias, dropout and scale by position, with their defaults up to the last one given."""
        defaults = {"attn_bias": "None", "p": "0.0", "scale": "None"}
        given = [name for name in defaults if name in extras]
        upto = list(defaults)[: list(defaults).index(given[-1]) + 1] if given else []
        return [extras.get(name, defaults[name]) for name in upto]

    # ----------------------------------------------------------------------------------------- run

    def run_text(self) -> str:
        choice, s = self.choice, self.sizes
        flag = choice.mask.parameter
        heads = s.heads if choice.shown or choice.rank == 4 else 1
        dim = s.dim if choice.shown or choice.rank == 4 else s.width
        lines = [
            "torch.manual_seed(0)",
            f"layer = Attention({dim}, {heads}).to(q.dtype)",
            f"out = layer(q, k, v{f', {flag}' if flag else ''})",
        ]
        neighbour = choice.neighbour
        if neighbour.run:
            if neighbour.uses and choice.guard.local:
                lines = [*self.import_statements(), *lines]
            lines.append(neighbour.run.format(used=choice.imports.of(neighbour.uses)))
            lines.append("return out, other" if neighbour.second_site else "return out")
        else:
            lines.append("return out")
        parameters = f"q, k, v{f', {flag}' if flag else ''}"
        return f"def run({parameters}):\n" + textwrap.indent("\n".join(lines), "    ")


def _is_operator(apply: str) -> bool:
    return " @ " in apply


def _keywords(arguments: dict[str, str]) -> str:
    return "".join(f", {name}={text}" for name, text in arguments.items())


def _only_op(extras: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in extras.items() if name == "op"}
