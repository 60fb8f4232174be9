"""Inputs for a call site where there is no program: values for its atoms, made from what the analysis knows of them.

Whole arguments are made as xformers takes them: query, key, value `[B, M, H, K]` (3-D `[B, M, K]`, 5-D
`[B, M, G, H, K]`), a bias `[B, H, M, N]`, mask objects of xformers' own classes. Where an atom is only a part of an
argument, a value for it is looked for: candidates are tried on a tiny shape whose sizes all differ, until the old side
calls its operator with query, key, value and bias of the shapes wanted. The new side has no say in this. What no
candidate fits needs a program.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from xf2sdpa.analysis.api import PARAMETERS
from xf2sdpa.analysis.values import Mask, NoneValue, OneOf, Value
from xf2sdpa.analysis.values import Tensor as TensorValue
from xf2sdpa.verify.judging.calls import Call, operator_of
from xf2sdpa.verify.planning.atoms import OPERATOR
from xf2sdpa.verify.planning.namespace import Helper, bind
from xf2sdpa.verify.planning.parts import Atom, Shadow
from xf2sdpa.verify.planning.sites import SitePlan

QKV = ("query", "key", "value")
DROPOUT = 0.25
"""What `p` is made, where it is no constant: the comparison sees that both sides ask for it, and drops nothing."""
SCALE = 0.3
"""What `scale` is made: not the default of any head size."""
_LOW = 110.0
"""Scores of `Shape.low` lie around minus this: a row's log-sum-exp is then below -88 (MEASURED §4)."""
_MOST_TRIES = 4000


@dataclass(frozen=True)
class Shape:
    """Sizes of one set of inputs.

    Attributes:
        name: what it is there for.
        storage: how query, key and value lie in memory: `BMHK`; `BHMK`, transposed to it; `packed`: parts of one.
        low: scores are strongly negative.
        timed: large enough to be worth timing on a GPU.
    """

    name: str
    batch: int
    queries: int
    keys: int
    heads: int
    width: int
    storage: str = "BMHK"
    low: bool = False
    timed: bool = False


GPU_SHAPES = (
    Shape("vision transformer, odd length", 64, 257, 257, 24, 64, "packed", timed=True),
    Shape("cross-attention to 77 keys", 4, 4096, 77, 8, 40, "BHMK", timed=True),
    Shape("key length 64 mod 128, low scores", 2, 256, 192, 8, 64, low=True),
    Shape("language model", 8, 1024, 1024, 16, 64, timed=True),
    Shape("head size 160", 4, 256, 256, 8, 160, "BHMK", timed=True),
    Shape("more queries than keys", 2, 384, 130, 4, 32),
    Shape("many short sequences", 2048, 16, 16, 8, 64, timed=True),
    Shape("one query", 4, 1, 512, 8, 128),
)
CPU_SHAPES = (
    Shape("odd length", 1, 257, 257, 2, 16, "packed"),
    Shape("cross-attention to 77 keys", 2, 24, 77, 2, 40, "BHMK"),
    Shape("key length 64 mod 128, low scores", 1, 48, 64, 2, 32, low=True),
    Shape("head size 160", 1, 24, 24, 2, 160, "BHMK"),
    Shape("more queries than keys", 2, 40, 17, 3, 8),
    Shape("one query", 3, 1, 9, 2, 8),
)
_TINY = Shape("trial", 2, 5, 7, 3, 8)
"""All sizes, and all products of two of them, differ."""


class Reason(str):
    """Why no inputs can be made."""

    __slots__ = ()


class Atoms(NamedTuple):
    """Values for the atoms of a site, in order.

    Attributes:
        shape: the sizes, as they came to be: some sites take only as many keys as queries.
        mask: what was handed over as bias: `none`, `causal`, `tensor`, a class's name, …
        forward_only: why there are no gradients to compare, if so.
    """

    values: list[Any]
    shape: Shape
    mask: str
    forward_only: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What these inputs are, for the report."""
        made_up = f"made up: {self.shape.name}, stored {self.shape.storage}"
        return (made_up, self.forward_only) if self.forward_only else (made_up,)


def make(
    plan: SitePlan,
    shape: Shape,
    device: torch.device | str,
    dtype: torch.dtype,
    seed: int,
    *,
    helper: Helper | None = None,
) -> list[Atoms] | Reason:
    """Inputs of one shape for a site: one set for each kind of mask and rank that it may meet.

    A site whose mask could be anything is handed tensors, and objects of the classes that the project's `helper` has:
    it has those that the project makes objects of.

    Returns:
        Values that are the same for the same seed on one kind of device; query, key and value require gradients, as
        does a bias that is called `learnt`. A `Reason` where the site has no two sides, or some atom cannot be made.
    """
    return Maker(plan, helper).make(shape, device, dtype, seed)


class Maker:
    """Makes inputs for one site; the search for what its atoms are is done once."""

    def __init__(self, plan: SitePlan, helper: Helper | None = None) -> None:
        self.plan = plan
        self.helper = helper
        self.recipes: list[_Recipe] = []
        self.missing: list[str] = []
        """Kinds of mask that the site may be handed, and that could not be made."""
        self.arguments = [] if plan.shadow is None else _arguments(plan.shadow)
        self.reason = Reason(plan.report.reason) if plan.shadow is None else self._search()

    def make(self, shape: Shape, device: torch.device | str, dtype: torch.dtype, seed: int) -> list[Atoms] | Reason:
        """See `make`."""
        if not self.recipes:
            return self.reason
        found = []
        for recipe in self.recipes:
            sizes = replace(shape, keys=shape.queries) if recipe.square else shape
            if _takes(recipe.kind, sizes, dtype):
                build = _Build(sizes, recipe.rank, recipe.kind, torch.device(device), dtype, seed, self._scale())
                try:
                    values = recipe.values(build, self.plan.atoms)
                except (AssertionError, ValueError):  # a mask class refuses these lengths
                    continue
                found.append(Atoms(values, sizes, recipe.kind, _forward_only(recipe)))
        return found

    def _search(self) -> Reason:
        """Find a recipe for each rank and kind of mask; why not, if there is none."""
        for atom in self.plan.atoms:
            if not _candidates(atom, "none"):
                return Reason(f"needs a program: the new side reads {atom.source}")
        kinds = _kinds(self.plan, self.helper)
        for kind in kinds:
            ranks = [rank for rank in (self.plan.rank, 4, 3) if rank][: 1 if self.plan.rank else 2]
            found = [recipe for rank in ranks if self._goes(rank, kind) and (recipe := self._recipe(rank, kind))]
            self.recipes += found
            self.missing += [] if found else [kind]
        parts = dict.fromkeys(atom.source for atom in self.plan.atoms if not atom.whole)
        return Reason(f"needs a program: no made-up value fits {', '.join(parts) or 'a mask: ' + ', '.join(kinds)}")

    def _goes(self, rank: int, kind: str) -> bool:
        """Whether xformers takes this kind of mask with query, key and value of a rank (SEMANTICS A.3, A.4)."""
        if not kind.startswith("tensor"):
            return rank != 3 or kind in {"none", "causal"}
        whole = any(atom.role == "attn_bias" and atom.whole for atom in self.plan.atoms)
        return not whole or _rank_of(self.plan.bias) in {None, rank}

    def _recipe(self, rank: int, kind: str) -> _Recipe | None:
        """Which candidate each atom is: looked for argument by argument, and checked by the whole call."""
        for square in (False, True):
            shape = replace(_TINY, keys=_TINY.queries) if square else _TINY
            build = _Build(shape, rank, kind, torch.device("cpu"), torch.float32, 0, SCALE)
            makers: dict[str, _Maker] = {}
            if not all(self._settle(argument, makers, build) for argument in self.arguments):
                continue
            rest = {atom.source: _candidates(atom, kind) for atom in self.plan.atoms if atom.source not in makers}
            for choice in itertools.islice(itertools.product(*rest.values()), _MOST_TRIES):
                recipe = _Recipe(rank, kind, square, makers | dict(zip(rest, choice, strict=True)))
                if self._fits(recipe, build):
                    return recipe
        return None

    def _settle(self, argument: _Argument, makers: dict[str, _Maker], build: _Build) -> bool:
        """Find candidates for the atoms of one argument, those that earlier arguments settled given."""
        atoms = [self.plan.atoms[number] for number in argument.atoms]
        open_ = {atom.source: _candidates(atom, build.kind) for atom in atoms if atom.source not in makers}
        for choice in itertools.islice(itertools.product(*open_.values()), _MOST_TRIES):
            recipe = _Recipe(build.rank, build.kind, False, makers | dict(zip(open_, choice, strict=True)))
            try:
                value = argument.function(*recipe.values(build, atoms))
                fits = _fits_argument(argument.role, value, build)
            except Exception:  # a candidate of the wrong kind may fail in any way
                continue
            if fits:
                makers.update(recipe.makers)
                return True
        return False

    def _fits(self, recipe: _Recipe, build: _Build) -> bool:
        seen: list[Call] = []

        def attend(call: Call) -> Any:
            seen.append(call)
            out = call.query.new_zeros(call.result_shape)
            return (out, call.query.new_zeros(call.result_shape[:-1])) if call.gives_lse else out

        operator = operator_of(self.plan.variant, attend)
        try:
            self.plan.probe(operator, None).old(operator, *recipe.values(build, self.plan.atoms))
            fits = [_fits_argument(role, getattr(call, role), build) for call in seen for role in (*QKV, "attn_bias")]
        except Exception:  # as above
            return False
        return len(seen) == 1 and all(fits)

    def _scale(self) -> float:
        """What the scores are multiplied by, as far as the atoms tell; 0 stands for the default."""
        return SCALE if any(atom.role == "scale" for atom in self.plan.atoms) else 0.0


@dataclass(frozen=True)
class _Recipe:
    """What each atom of a site is, by its source: equal sources are one value."""

    rank: int
    kind: str
    square: bool
    makers: dict[str, _Maker]

    def values(self, build: _Build, atoms: Sequence[Atom]) -> list[Any]:
        made: dict[str, Any] = {}
        for atom in atoms:
            if atom.source not in made:
                made[atom.source] = self.makers[atom.source](build, atom.role)
        return [made[atom.source] for atom in atoms]


@dataclass
class _Build:
    """Makes the values of one set of inputs; `scale` 0 stands for the default."""

    shape: Shape
    rank: int
    kind: str
    device: torch.device
    dtype: torch.dtype
    seed: int
    scale: float = 0.0

    def __post_init__(self) -> None:
        self.generator = torch.Generator(self.device).manual_seed(self.seed)
        self.scale = self.scale or self.shape.width**-0.5
        self.blocks = _blocks(self.shape) if self.kind.startswith("Block") else None
        self.batch = 1 if self.blocks else self.shape.batch

    def length(self, role: str) -> int:
        """M for the query, N for key and value: of all sequences together where they are packed."""
        if not self.blocks:
            return self.shape.queries if role == "query" else self.shape.keys
        lengths = self.blocks[role != "query"]
        padded = role != "query" and "PaddedKeys" in self.kind
        return len(lengths) * max(lengths) if padded else sum(lengths)

    @property
    def heads(self) -> tuple[int, ...]:
        """The dimensions between M and K."""
        return {3: (), 4: (self.shape.heads,)}.get(self.rank, (self.shape.heads, 2))

    def whole(self, role: str) -> Tensor:
        """Query, key or value as xformers takes it, in the storage asked for."""
        sizes = (self.batch, self.length(role), *self.heads, self.shape.width)
        if self.rank == 5 and role != "query":  # one key head serves a group
            x = self.random(role, *sizes[:3], 1, sizes[4]).expand(sizes)
        elif self.shape.storage == "packed":
            x = self.random(role, sizes[0], sizes[1], 3, *sizes[2:]).select(2, QKV.index(role))
        elif self.shape.storage == "BHMK" and self.rank == 4:
            x = self.random(role, sizes[0], sizes[2], sizes[1], sizes[3]).transpose(1, 2)
        elif self.shape.storage == "BHMK":  # the like of it without heads: sequence first
            x = self.random(role, sizes[1], sizes[0], *sizes[2:]).transpose(0, 1)
        else:
            x = self.random(role, *sizes)
        return x.detach().requires_grad_()

    def random(self, role: str, *sizes: int) -> Tensor:
        """Normally distributed; with low scores, query and key point away from each other."""
        x = torch.randn(sizes, generator=self.generator, device=self.device)
        if self.shape.low and role in {"query", "key"}:
            x += math.sqrt(_LOW / (self.shape.width * self.scale)) * (1 if role == "query" else -1)
        return x.to(self.dtype)

    def leaf(self, role: str, *sizes: int) -> Tensor:
        """A tensor that wants a gradient."""
        return self.random(role, *sizes).requires_grad_()

    def bias(self, *sizes: int) -> Tensor:
        """Added to the scores; its rows are stored 8 elements apart, as xformers demands (SEMANTICS A.4)."""
        room = torch.randn((*sizes[:-1], -(-sizes[-1] // 8) * 8), generator=self.generator, device=self.device)
        bias = room.to(self.dtype)[..., : sizes[-1]]
        if "closed" in self.kind:
            bias[..., -1] = -math.inf  # nobody sees the last key
            bias[..., 0, :] = -math.inf  # and the first query sees none
        return bias.requires_grad_("learnt" in self.kind)

    def mask(self) -> Any:
        """The whole bias: of the kind that is asked for."""
        if self.kind == "none":
            return None
        if self.kind.startswith("tensor"):
            return self.bias(self.batch, *self.heads, self.length("query"), self.length("key"))
        return _mask_object(self)


_Maker = Callable[[_Build, str], Any]


# -- which values an atom may have ---------------------------------------------------------------------------


def _candidates(atom: Atom, kind: str) -> list[_Maker]:
    """Makers for an atom, the likeliest first."""
    if atom.role in QKV and atom.heads_first:
        return [_heads_first]
    if atom.role in QKV:
        return [_whole] if atom.whole else _parts(atom.source, _tensor_parts())
    if atom.role == "attn_bias":
        return [lambda build, _: build.mask()] if atom.whole else _parts(atom.source, _bias_parts())
    if atom.role == "is_causal":
        return [lambda *_: kind == "causal"]
    fixed: dict[str, list[_Maker]] = {
        "p": [lambda *_: _constant(atom.source, DROPOUT)],
        "scale": [lambda *_: SCALE],
        "op": [lambda *_: None],
        "output_dtype": [lambda *_: None],
        "*": [
            lambda build, _: tuple(build.whole(role) for role in QKV),
            lambda build, _: (*(build.whole(role) for role in QKV), build.mask()),
            lambda build, _: tuple(build.whole(role) for role in QKV[1:]),
        ],
        "**": [lambda *_: {}, lambda build, _: {"attn_bias": build.mask()}],
    }
    return fixed.get(atom.role, [])


def _constant(source: str, otherwise: float) -> float:
    """The number that a source is, if it is one."""
    try:
        return float(source)
    except ValueError:
        return otherwise


def _whole(build: _Build, role: str) -> Tensor:
    return build.whole(role)


def _heads_first(build: _Build, role: str) -> Tensor:
    return build.leaf(role, build.batch, *build.heads, build.length(role), build.shape.width)


def _tensor_parts() -> Iterator[_Maker]:
    """Layouts from which programs make `[B, M, H, K]` inside the argument."""

    def of(sizes: Callable[[int, int, int, int], tuple[int, ...]]) -> _Maker:
        return lambda build, role: build.leaf(
            role, *sizes(build.batch, build.length(role), math.prod(build.heads), build.shape.width)
        )

    yield _whole
    yield of(lambda b, m, h, k: (b, h, m, k))
    yield of(lambda b, m, h, k: (b, m, h * k))
    yield of(lambda b, m, h, k: (b * h, m, k))
    yield of(lambda b, m, h, k: (m, b, h * k))
    yield of(lambda b, m, h, k: (m, b, h, k))
    yield of(lambda b, m, h, k: (b, m, 3, h, k))
    yield of(lambda b, m, h, k: (b, m, 3 * h * k))
    yield of(lambda b, m, h, k: (b, m, 2, h, k))


def _bias_parts() -> Iterator[_Maker]:
    """Biases that the argument makes exact by `expand`, `view` or a cast."""

    def of(sizes: Callable[[int, int, int, int], tuple[int, ...]]) -> _Maker:
        return lambda build, _: build.bias(
            *sizes(build.batch, math.prod(build.heads), build.length("query"), build.length("key"))
        )

    yield of(lambda b, h, m, n: (b, h, m, n))
    yield of(lambda b, _, m, n: (b, 1, m, n))
    yield of(lambda b, _, __, n: (b, 1, 1, n))
    yield of(lambda _, __, m, n: (1, 1, m, n))
    yield of(lambda _, h, m, n: (1, h, m, n))
    yield of(lambda _, __, m, n: (m, n))
    yield of(lambda _, h, m, n: (h, m, n))
    yield of(lambda b, h, m, n: (b * h, m, n))
    yield of(lambda b, _, m, n: (b, m, n))
    yield of(lambda b, _, __, n: (b, n))


def _parts(source: str, tensors: Iterator[_Maker]) -> list[_Maker]:
    """What a part of an argument may be."""
    if source.endswith("dtype"):
        return [lambda build, _: build.dtype]
    if source.endswith("device"):
        return [lambda build, _: build.device]
    return [*tensors, *_plain_parts()]


def _plain_parts() -> Iterator[_Maker]:
    """Flags, factors and sizes."""
    yield lambda build, _: build.kind == "causal"
    yield lambda build, _: build.kind != "causal"
    yield lambda *_: SCALE
    yield lambda build, _: build.batch
    yield lambda build, _: math.prod(build.heads)
    yield lambda build, _: build.shape.width
    yield lambda build, _: build.length("query")
    yield lambda build, _: build.length("key")
    yield lambda build, _: math.prod(build.heads) * build.shape.width
    yield lambda build, _: build.batch * math.prod(build.heads)


def _fits_argument(role: str, value: Any, build: _Build) -> bool:
    """Whether an argument is what the build stands for; of what has no shape, anything is."""
    if role in QKV:
        wanted = (build.batch, build.length(role), *build.heads, build.shape.width)
        return isinstance(value, Tensor) and value.is_floating_point() and tuple(value.shape) == wanted
    if role != "attn_bias":
        return True
    if build.kind == "none":
        return value is None
    if not build.kind.startswith("tensor"):
        return type(value).__name__ == CLASSES.get(build.kind, build.kind)
    sizes = (build.batch, *build.heads, build.length("query"), build.length("key"))
    return isinstance(value, Tensor) and value.is_floating_point() and tuple(value.shape) == sizes


@dataclass(frozen=True)
class _Argument:
    """One argument of the operator on the old side.

    Attributes:
        role: its parameter.
        atoms: numbers of those that it is computed from.
        function: computes it from them.
    """

    role: str
    atoms: tuple[int, ...]
    function: Callable[..., Any]


def _arguments(shadow: Shadow) -> list[_Argument]:
    """The arguments that stand in the old side one by one: what is unpacked with a star is not among them."""
    calls = (node for node in ast.walk(ast.parse(shadow.old, mode="eval")) if isinstance(node, ast.Call))
    call = next(node for node in calls if isinstance(node.func, ast.Name) and node.func.id == OPERATOR)
    positional = itertools.takewhile(lambda node: not isinstance(node, ast.Starred), call.args)
    given = [*zip(PARAMETERS, positional, strict=False), *((word.arg or "", word.value) for word in call.keywords)]
    return [_argument(role, node, shadow) for role, node in given if role]


def _argument(role: str, node: ast.expr, shadow: Shadow) -> _Argument:
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    numbers = tuple(number for number in range(len(shadow.atoms)) if f"atom{number}" in names)
    parameters = ", ".join(f"atom{number}" for number in numbers)
    imports = {name: dotted for name, dotted in shadow.old_imports.items() if name in names}
    source = f"lambda {parameters}: {ast.unparse(node)}"
    return _Argument(role, numbers, bind(source, imports, None, f"<argument {role} of {shadow.site}>"))


# -- masks -----------------------------------------------------------------------------------------------------

CLASSES = {"causal": "LowerTriangularMask"}
"""Kinds of mask that are called otherwise than their class."""
TENSORS = ("tensor", "tensor, a row closed", "tensor, learnt")
_OBJECTS = (
    "causal",
    "LowerTriangularFromBottomRightMask",
    "BlockDiagonalMask",
    "BlockDiagonalCausalMask",
    "BlockDiagonalCausalFromBottomRightMask",
)
"""The usual objects, for a helper that may meet any mask."""


def _kinds(plan: SitePlan, helper: Helper | None) -> tuple[str, ...]:
    """The kinds of mask that a site may be handed."""
    known = _kinds_of(plan.bias)
    if known:
        return known
    if plan.mask == "none":
        return ("none",)
    if plan.report.kind == "compat":
        classes = re.findall(r"^class (\w+)", helper.text, re.MULTILINE) if helper else []
        return ("none", *TENSORS, *(kind for kind in _OBJECTS if CLASSES.get(kind, kind) in classes))
    new = plan.shadow.new if plan.shadow else ""  # an inline form takes no other mask than it has an argument for
    return ("none", *TENSORS) if "attn_mask=" in new else ("none", "causal")


def _kinds_of(bias: Value | None) -> tuple[str, ...]:
    """What the analysis knows of a bias, as kinds of mask; nothing where it could be anything."""
    if isinstance(bias, OneOf):
        each = [_kinds_of(option) for option in bias.options]
        return tuple(sorted(set().union(*each))) if all(each) else ()
    if isinstance(bias, Mask):
        return ("causal" if bias.name == CLASSES["causal"] else bias.name,)
    if isinstance(bias, TensorValue):
        return TENSORS
    return ("none",) if isinstance(bias, NoneValue) else ()


def _rank_of(bias: Value | None) -> int | None:
    """The rank of a bias where the analysis proved it."""
    tensors = [x for x in (bias.options if isinstance(bias, OneOf) else (bias,)) if isinstance(x, TensorValue)]
    return tensors[0].rank.known if tensors else None


def _forward_only(recipe: _Recipe) -> str:
    """Why xformers computes no gradients here, if so (SEMANTICS A.3, B)."""
    if recipe.rank == 5:
        return "forward only: xformers has no gradients for five dimensions"
    if recipe.kind == "LowerTriangularMaskWithTensorBias":
        return f"forward only: xformers has no gradients for {recipe.kind}"
    return ""


def _takes(kind: str, shape: Shape, dtype: torch.dtype) -> bool:
    """Whether xformers takes a mask at these sizes, and says the same in all its kernels."""
    if kind == "tensor, learnt":
        return shape.keys % 8 == 0 and dtype != torch.float64  # its gradient is stored without gaps
    if "BottomRight" in kind or "WithOffset" in kind:
        return shape.queries <= shape.keys
    return not (kind.startswith("BlockDiagonal") and "Local" in kind) or shape.queries == shape.keys


def _blocks(shape: Shape) -> tuple[list[int], list[int]]:
    """Lengths of packed sequences, no two alike, as far as that is possible: `batch` of them, 8 at most."""
    count = min(8, max(2, shape.batch))
    queries = [max(1, shape.queries * (count - index) // count) for index in range(count)]
    keys = [max(1, shape.keys * (count - index) // count) for index in range(count)]
    return queries, keys


def _mask_object(build: _Build) -> Any:
    """An object of one of xformers' mask classes, or of what stands in for them.

    Raises:
        ValueError: no inputs are known for this class.
    """
    classes = importlib.import_module("xformers.ops.fmha.attn_bias")
    name = CLASSES.get(build.kind, build.kind)
    window = max(1, build.shape.queries // 4)
    if name in {"LowerTriangularMask", "LowerTriangularFromBottomRightMask"}:
        return getattr(classes, name)()
    if name == "LowerTriangularMaskWithTensorBias":
        return getattr(classes, name)(build.bias(build.batch, *build.heads, build.length("query"), build.length("key")))
    if name == "LowerTriangularFromBottomRightLocalAttentionMask":
        return getattr(classes, name)(window)
    if name == "LocalAttentionFromBottomRightMask":
        return getattr(classes, name)(window_left=window, window_right=window // 2)
    if build.blocks is None or name not in _BLOCK_DIAGONAL:
        raise ValueError(f"no inputs are known for {name}")
    method, arguments = _BLOCK_DIAGONAL[name]
    if method == "from_seqlens":
        queries, keys = build.blocks
        return getattr(classes, name).from_seqlens(queries, max(keys), keys, device=build.device)
    mask = classes.BlockDiagonalMask.from_seqlens(*build.blocks, device=build.device)
    return getattr(mask, method)(*([window] * arguments)) if method else mask


_BLOCK_DIAGONAL = {
    "BlockDiagonalMask": ("", 0),
    "BlockDiagonalCausalMask": ("make_causal", 0),
    "BlockDiagonalCausalFromBottomRightMask": ("make_causal_from_bottomright", 0),
    "BlockDiagonalCausalLocalAttentionMask": ("make_local_attention", 1),
    "BlockDiagonalCausalLocalAttentionFromBottomRightMask": ("make_local_attention_from_bottomright", 1),
    "BlockDiagonalPaddedKeysMask": ("from_seqlens", 0),
    "BlockDiagonalCausalWithOffsetPaddedKeysMask": ("from_seqlens", 0),
}
"""How each is made: the method of a `BlockDiagonalMask`, and how many windows it takes; or its own `from_seqlens`."""
