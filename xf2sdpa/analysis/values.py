"""What the walk over a function knows of a value: its kind, its rank, and where its dtype comes from.

Every value is immutable and comparable; `join` gives what is known where two paths meet.
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from xf2sdpa.model import Assumption, Way


class DType(enum.Enum):
    """Where a tensor's dtype comes from, which decides whether it can be float32 while autocast is on."""

    UNKNOWN = "unknown"
    AUTOCAST = "autocast"
    """The result of an operation on autocast's lower-precision list (linear, conv, matmul, einsum)."""
    HALF = "half"
    """Visibly cast to float16 or bfloat16."""
    FLOAT32 = "float32"
    """Visibly cast to float32 or float64, or made by an operation on autocast's float32 list (softmax, layer norm)."""

    def join(self, other: DType) -> DType:
        """The dtype where two paths meet; float32 on either path counts as float32, the cautious answer."""
        if self is other:
            return self
        both = {self, other}
        if DType.FLOAT32 in both:
            return DType.FLOAT32
        return DType.HALF if both == {DType.AUTOCAST, DType.HALF} else DType.UNKNOWN


@dataclass(frozen=True)
class Rank:
    """A number of dimensions: `offset`, or, with a `token`, the unknown rank with that token plus `offset`."""

    offset: int
    token: int | None = None

    def plus(self, count: int) -> Rank:
        """The rank with `count` more dimensions."""
        return Rank(self.offset + count, self.token)

    @property
    def known(self) -> int | None:
        """The rank as a number; None if it is unknown."""
        return self.offset if self.token is None else None


class Value:
    """What is known of the value of an expression."""

    __slots__ = ()


@dataclass(frozen=True)
class Unknown(Value):
    """Could be anything; `token` stands for its rank, should it turn out to be a tensor, `dtype` for its dtype."""

    token: int
    dtype: DType = DType.UNKNOWN
    heads: int | None = field(default=None, compare=False)
    """Which axis would be that of the heads."""
    name: str = field(default="", compare=False)
    """What it was called where it was read, if that tells something of a size."""


@dataclass(frozen=True)
class Tensor(Value):
    """A tensor."""

    rank: Rank
    dtype: DType = DType.UNKNOWN
    given: frozenset[str] = frozenset()
    """The assumptions, beyond what the code shows, under which the rank is right."""
    heads: int | None = field(default=None, compare=False)
    """Which axis is that of the heads, where the names of sizes show it; for notes only, so no part of equality."""
    is_made: bool = field(default=False, compare=False)
    """Whether it was filled with numbers here: a mask, as no query, key or value is."""
    is_supposed: bool = field(default=False, compare=False)
    """Whether only its shape was asked for: it may be an object that has one, too."""


@dataclass(frozen=True)
class Items(Value):
    """A tuple or list: its items one by one, or, with `items` None, one value that describes each of them."""

    items: tuple[Value, ...] | None
    each: Value | None = None
    is_size: bool = False
    """Whether all items are numbers: a shape or a part of one."""
    is_fixed: bool = field(default=False, compare=False)
    """Whether it is a tuple, so that nobody can put other items into it."""


@dataclass(frozen=True)
class ShapeOf(Value):
    """`x.shape` of a tensor whose rank is unknown so far."""

    rank: Rank


@dataclass(frozen=True)
class Scalar(Value):
    """A Python number, string or bool; if `is_constant`, with the value `value`."""

    value: object = None
    is_constant: bool = False
    name: str = field(default="", compare=False)
    """What it was called where it was read, if that tells something of a size."""


@dataclass(frozen=True)
class Slice(Value):
    """`slice(…)`."""


@dataclass(frozen=True)
class NoneValue(Value):
    """None."""


@dataclass(frozen=True)
class DTypeOf(Value):
    """`x.dtype`, or a dtype named directly, as `torch.float16`."""

    dtype: DType


@dataclass(frozen=True)
class Mask(Value):
    """An object of one of xformers' mask classes, by the class's name."""

    name: str


@dataclass(frozen=True)
class Function(Value):
    """A function or lambda defined in this file, with the variables of the enclosing function."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    closure: Mapping[str, Value] = field(default_factory=dict, compare=False, hash=False)
    owner: ast.ClassDef | None = None
    """The class of a bound method, whose first parameter is `self`."""
    is_sealed: bool = False
    """Whether `self` is of exactly that class, not of one that derives from it."""
    given: frozenset[str] = frozenset()
    """The assumptions under which this function is the one that is called."""


class Layer(enum.Enum):
    """What an `nn.Module` does to the rank and dtype of its input."""

    PROJECTION = "projection"
    KEEP = "keep"
    NORM = "norm"


@dataclass(frozen=True)
class Module(Value):
    """A module object: a known layer, or an instance of a class in this file."""

    layer: Layer | None = None
    local: ast.ClassDef | None = None
    parts: tuple[Value, ...] | None = None
    """Of a container (Sequential, ModuleList), in order."""
    given: frozenset[str] = frozenset()
    """The assumptions under which the object is this module."""


@dataclass(frozen=True)
class OneOf(Value):
    """One of a few values of different kinds: None or a mask, a mask or a tensor."""

    options: frozenset[Value]


BY_CALLERS = "every call in this project passes"
"""How each assumption begins that rests on what callers pass; the new text checks those."""


def told_by_callers(place: str, rank: int) -> Assumption:
    """The assumption that a function is always given a tensor of one rank."""
    return Assumption(f"{BY_CALLERS} {rank} dimensions to {place}", Way.CALLERS)


NONE = NoneValue()
NUMBER = Scalar()


def join(left: Value, right: Value, token: int) -> Value:
    """What is known of a value that comes from two paths; `token` identifies it if the result is unknown."""
    if left == right:
        return _of_one_layout(left, right)
    options = _options(left) | _options(right)
    tensors = [value for value in options if isinstance(value, Tensor)]
    if len(tensors) > 1:
        merged = tensors[0]
        for tensor in tensors[1:]:
            rank = merged.rank if merged.rank == tensor.rank else Rank(0, token)
            heads = merged.heads if merged.heads == tensor.heads else None
            merged = Tensor(rank, merged.dtype.join(tensor.dtype), merged.given | tensor.given, heads)
        options = (options - set(tensors)) | {merged}
    if all(isinstance(value, Scalar) for value in options):
        return NUMBER
    if any(isinstance(value, Items) for value in options):
        return _join_items(left, right, token)
    if len(options) == 1:
        return next(iter(options))
    if len(options) > 4 or any(isinstance(value, Unknown | Function | Module) for value in options):
        return Unknown(token)
    return OneOf(frozenset(options))


def _of_one_layout(left: Value, right: Value) -> Value:
    """One of two equal values, with an axis of heads only if both have it."""
    if isinstance(left, Tensor | Unknown) and isinstance(right, Tensor | Unknown) and left.heads != right.heads:
        return replace(left, heads=None)
    return left


def promoted(left: Tensor, right: Tensor) -> DType:
    """The dtype of the sum or product of two tensors: float32 wins, but a tensor without dimensions counts little."""
    if (left.rank.known == 0) != (right.rank.known == 0):
        return right.dtype if left.rank.known == 0 else left.dtype
    if DType.FLOAT32 in (left.dtype, right.dtype):
        return DType.FLOAT32
    return left.dtype if left.dtype is right.dtype else DType.UNKNOWN


def _options(value: Value) -> frozenset[Value]:
    return value.options if isinstance(value, OneOf) else frozenset({value})


def _join_items(left: Value, right: Value, token: int) -> Value:
    if not (isinstance(left, Items) and isinstance(right, Items)):
        return Unknown(token)
    if left.items is not None and right.items is not None and len(left.items) == len(right.items):
        pairs = zip(left.items, right.items, strict=True)
        return Items(tuple(join(a, b, token) for a, b in pairs), is_size=left.is_size and right.is_size)
    return Unknown(token)


def may_be_object(mask: Value | None) -> bool:
    """Whether a mask may be an object of a mask class: whatever is not known to be None or a tensor."""
    options = mask.options if isinstance(mask, OneOf) else {mask}
    return not all(isinstance(option, NoneValue | Tensor) for option in options)


def as_tensor(value: Value) -> Tensor | None:
    """The value as a tensor, as a tensor operation on it requires; None if it cannot be one."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Unknown):
        return Tensor(Rank(0, value.token), value.dtype, heads=value.heads)
    if isinstance(value, OneOf):
        tensors = [option for option in value.options if isinstance(option, Tensor)]
        return tensors[0] if len(tensors) == 1 else None
    return None
