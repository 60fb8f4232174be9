"""What tensor operations do to rank and dtype: one small function per operation, in one table.

`x.transpose(1, 2)` and `torch.transpose(x, 1, 2)` are treated alike: `x` is the receiver in both. Where the resulting
rank depends on sizes (`squeeze`), it is unknown.
Sources: the signatures in torch's documentation; autocast's op lists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from xf2sdpa.analysis.values import (
    DType,
    DTypeOf,
    Items,
    NoneValue,
    Rank,
    Scalar,
    ShapeOf,
    Tensor,
    Unknown,
    Value,
    as_tensor,
)


@dataclass(frozen=True)
class Arguments:
    """The evaluated arguments after the receiver; `token` identifies the result if its rank is unknown.

    `unpacked` is true where a `*star` hides how many arguments there are; if the star unpacks a shape, `star_sizes`
    is their number.
    """

    positional: tuple[Value, ...]
    keywords: dict[str, Value]
    token: int
    unpacked: bool = False
    star_sizes: Rank | None = None

    def get(self, index: int, *names: str) -> Value | None:
        """The argument at a position or under one of its names."""
        for name in names:
            if name in self.keywords:
                return self.keywords[name]
        return self.positional[index] if index < len(self.positional) else None

    def integer(self, index: int, *names: str) -> int | None:
        """The same, if it is a literal int."""
        value = self.get(index, *names)
        if isinstance(value, Scalar) and isinstance(value.value, int) and not isinstance(value.value, bool):
            return value.value
        return None


Operation = Callable[[Tensor, Arguments], Value]


def keep(x: Tensor, arguments: Arguments) -> Value:
    """Neither rank nor dtype changes."""
    return x


def made(name: str, arguments: Arguments) -> Tensor:
    """`zeros(b, n, d)`, `arange(n)`: float32 where no other dtype is given and the numbers need not be whole."""
    sizes = replace(arguments, positional=arguments.positional[:1]) if name == "full" else arguments
    always = {"arange": 1, "linspace": 1, "eye": 2}
    rank = Rank(always[name]) if name in always else sizes_rank(sizes) or Rank(0, arguments.token)
    dtype = arguments.keywords.get("dtype", NoneValue())
    if not isinstance(dtype, NoneValue):
        return Tensor(rank, dtype.dtype if isinstance(dtype, DTypeOf) else DType.UNKNOWN, is_made=True)
    numbers = arguments.positional if name == "arange" else arguments.positional[1:]
    is_float = any(isinstance(n, Scalar) and isinstance(n.value, float) for n in numbers)
    in_doubt = name in ("arange", "full")
    return Tensor(rank, DType.FLOAT32 if is_float or not in_doubt else DType.UNKNOWN, is_made=True)


def literal(data: Value | None, arguments: Arguments) -> Value:
    """`tensor([0.5, 2.0])`: float32 where a number is written with a point and no other dtype is given."""
    depth, parts = 0, [data]
    while parts and isinstance(parts[0], Items):
        parts, depth = [item for part in parts if isinstance(part, Items) for item in part.items or ()], depth + 1
    numbers = [part.value for part in parts if isinstance(part, Scalar)]
    if depth and "dtype" not in arguments.keywords and any(isinstance(number, float) for number in numbers):
        return Tensor(Rank(depth), DType.FLOAT32)
    return Unknown(arguments.token)


def permute(x: Tensor, arguments: Arguments) -> Value:
    """`permute(0, 2, 1, 3)`: as many dimensions as arguments."""
    rank = sizes_rank(arguments)
    return replace(x, rank=rank) if rank else x


def view(x: Tensor, arguments: Arguments) -> Value:
    """`view`, `reshape`, `expand`, `repeat`: as many dimensions as sizes."""
    if isinstance(arguments.get(0), DTypeOf):
        return Tensor(x.rank)
    rank = sizes_rank(arguments)
    return replace(x, rank=rank or Rank(0, arguments.token))


def sizes_rank(arguments: Arguments) -> Rank | None:
    """The number of sizes in the arguments: `(b, n, h, d)`, `((b, n, h, d))`, `(*x.shape[:-1], h, d)`."""
    if arguments.unpacked:
        return arguments.star_sizes
    sizes = arguments.positional
    if not sizes:
        sizes = tuple(arguments.keywords[n] for n in ("shape", "size", "dims") if n in arguments.keywords)
    if len(sizes) != 1:
        return Rank(len(sizes)) if sizes else None
    only = sizes[0]
    if isinstance(only, Items):
        return Rank(len(only.items)) if only.items is not None else None
    if isinstance(only, ShapeOf):
        return only.rank
    return Rank(1) if isinstance(only, Scalar) and isinstance(only.value, int) else None


def like(x: Tensor, arguments: Arguments) -> Value:
    """`view_as(y)`: the rank of y."""
    other = as_tensor(arguments.get(0, "other") or NoneValue())
    if other is None:
        return unknown_rank(x, arguments)
    return replace(x, rank=other.rank, given=x.given | other.given)


def unsqueeze(x: Tensor, arguments: Arguments) -> Value:
    """One dimension more."""
    return replace(x, rank=x.rank.plus(1))


def unknown_rank(x: Tensor, arguments: Arguments) -> Value:
    """A tensor of the same dtype and unknown rank."""
    return replace(x, rank=Rank(0, arguments.token))


def flatten(x: Tensor, arguments: Arguments) -> Value:
    """`flatten(start, end)`; `flatten(2)` leaves three dimensions however many there were."""
    start = arguments.integer(0, "start_dim")
    end = arguments.integer(1, "end_dim")
    if arguments.get(0, "start_dim") is None:
        start = 0
    if arguments.get(1, "end_dim") is None:
        end = -1
    if start is None or end is None:
        return unknown_rank(x, arguments)
    if start >= 0 and end == -1:
        return replace(x, rank=Rank(start + 1))
    if (start < 0) == (end < 0):
        return replace(x, rank=x.rank.plus(start - end))
    rank = x.rank.known
    if rank is None:
        return unknown_rank(x, arguments)
    return replace(x, rank=Rank(rank - (end % rank - start % rank)))


def unflatten(x: Tensor, arguments: Arguments) -> Value:
    """`unflatten(dim, sizes)`: one dimension becomes as many dimensions as there are sizes."""
    sizes = arguments.get(1, "sizes", "unflattened_size")
    if isinstance(sizes, Items) and sizes.items is not None:
        return replace(x, rank=x.rank.plus(len(sizes.items) - 1))
    return unknown_rank(x, arguments)


def pieces(x: Tensor, arguments: Arguments) -> Value:
    """`chunk`, `split`: a tuple of tensors of the same rank."""
    return Items(None, each=x)


def unbind(x: Tensor, arguments: Arguments) -> Value:
    """A tuple of tensors with one dimension less."""
    return Items(None, each=replace(x, rank=x.rank.plus(-1)))


def reduce_dims(x: Tensor, arguments: Arguments) -> Value:
    """`mean(dim=1, keepdim=True)`, `amax(-1)`; without `dim` a scalar tensor."""
    dim, keepdim = arguments.get(0, "dim", "axis"), arguments.get(1, "keepdim")
    if dim is None:
        return replace(x, rank=Rank(0))
    if isinstance(keepdim, Scalar) and keepdim.value is True:
        return x
    if keepdim is None or (isinstance(keepdim, Scalar) and keepdim.value is False):
        if isinstance(dim, Scalar):
            return replace(x, rank=x.rank.plus(-1))
        if isinstance(dim, Items) and dim.items is not None:
            return replace(x, rank=x.rank.plus(-len(dim.items)))
    return unknown_rank(x, arguments)


def sum_dims(x: Tensor, arguments: Arguments) -> Value:
    """The same for reductions that autocast runs in float32: `sum`, `prod`, `norm`."""
    return reduce_dims(replace(x, dtype=DType.FLOAT32), arguments)


def norm(x: Tensor, arguments: Arguments) -> Value:
    """`norm(dim=-1, keepdim=True)`; its first positional argument is the order of the norm, not a dimension."""
    if arguments.positional:
        return float32(unknown_rank(x, arguments), arguments)  # type: ignore[arg-type]
    return sum_dims(x, arguments)


def like_new(x: Tensor, arguments: Arguments) -> Value:
    """`zeros_like(x)`: the rank of x, and its dtype unless another is given."""
    return replace(x, dtype=DType.UNKNOWN) if "dtype" in arguments.keywords else x


def new(x: Tensor, arguments: Arguments) -> Value:
    """`x.new_zeros(b, h, n)`: as many dimensions as sizes, and the dtype of x unless another is given."""
    sizes = replace(arguments, keywords={k: v for k, v in arguments.keywords.items() if k == "size"})
    return like_new(replace(x, rank=sizes_rank(sizes) or Rank(0, arguments.token), is_made=True), arguments)


def to(x: Tensor, arguments: Arguments) -> Value:
    """`.to(…)`: the rank stays; the dtype is that of the dtype or tensor passed, if it is known."""
    dtype = x.dtype
    candidates = (*arguments.positional, *(arguments.keywords.get(n) for n in ("dtype", "other")))
    for value in candidates:
        if isinstance(value, (DTypeOf, Tensor)):
            dtype = value.dtype
        elif value is not None and not isinstance(value, Scalar | NoneValue):
            dtype = DType.UNKNOWN
    return replace(x, dtype=dtype)


def type_as(x: Tensor, arguments: Arguments) -> Value:
    """The dtype of another tensor."""
    other = arguments.get(0, "other")
    return replace(x, dtype=other.dtype if isinstance(other, Tensor) else DType.UNKNOWN)


def half(x: Tensor, arguments: Arguments) -> Value:
    """A visible cast to half precision."""
    return replace(x, dtype=DType.HALF)


def float32(x: Tensor, arguments: Arguments) -> Value:
    """A visible upcast, or an operation that autocast runs in float32."""
    return replace(x, dtype=DType.FLOAT32)


def projection(x: Tensor, arguments: Arguments) -> Value:
    """Linear layers and convolutions: rank kept, dtype lowered by autocast."""
    return replace(x, dtype=DType.AUTOCAST)


def broadcast(x: Tensor, arguments: Arguments) -> Value:
    """`masked_fill(mask, 0.0)`, `clamp(max=limits)`: tensors among the arguments may have more dimensions.

    Not so for a mask that is made here: with more than three or four it is none, in torch as in xformers.
    """
    rank = x.rank
    for value in (*arguments.positional, *arguments.keywords.values()):
        if isinstance(value, Scalar | NoneValue):
            continue
        other = as_tensor(value)
        if other is None or (other.rank != rank and None in (other.rank.known, rank.known)):
            if x.is_made and rank.known in (3, 4):
                continue
            return unknown_rank(x, arguments)
        rank = max(rank, other.rank, key=lambda r: r.offset)
    return replace(x, rank=rank)


def power(x: Tensor, arguments: Arguments) -> Value:
    """The same, in float32 inside autocast."""
    return broadcast(replace(x, dtype=DType.FLOAT32), arguments)


def matmul(x: Tensor, arguments: Arguments) -> Value:
    """A matrix product: the larger of the two ranks, where both are known and at least 2."""
    other = as_tensor(arguments.get(0, "other", "mat2") or NoneValue())
    left, right = x.rank.known, other.rank.known if other else None
    known = left is not None and right is not None and min(left, right) >= 2
    rank = Rank(max(left or 0, right or 0)) if known else Rank(0, arguments.token)
    return Tensor(rank, DType.AUTOCAST, x.given | other.given if other else x.given)


def bmm(x: Tensor, arguments: Arguments) -> Value:
    """Batched products are 3-D."""
    return Tensor(Rank(3), DType.AUTOCAST)


def repeat_interleave(x: Tensor, arguments: Arguments) -> Value:
    """`repeat_interleave(n, dim=1)` keeps the rank; without `dim` the tensor is flattened first."""
    return replace(x, rank=Rank(1)) if arguments.get(1, "dim") is None else x


def complex_view(x: Tensor, arguments: Arguments) -> Value:
    """`view_as_complex` folds the last dimension away."""
    return replace(x, rank=x.rank.plus(-1))


def dimension_count(x: Tensor, arguments: Arguments) -> Value:
    """`x.dim()`."""
    return number_of(x.rank)


def size(x: Tensor, arguments: Arguments) -> Value:
    """`x.size()` is the shape, `x.size(0)` a number."""
    return shape_of(x) if arguments.get(0, "dim") is None else Scalar()


def shape_of(x: Tensor) -> Value:
    """`x.shape`: as many numbers as x has dimensions."""
    if x.rank.known is None:
        return ShapeOf(x.rank)
    return Items((Scalar(),) * max(x.rank.known, 0), is_size=True)


def number_of(rank: Rank) -> Value:
    """A rank as a Python int."""
    return Scalar() if rank.known is None else Scalar(rank.known, is_constant=True)


_KEEP = """
    contiguous clone detach requires_grad_ cuda cpu roll flip masked_fill_ clamp_ neg abs
    transpose transpose_ swapaxes swapdims movedim moveaxis permute_ narrow index_select triu tril mul_ add_ sub_
    div_ zero_ fill_ copy_ pin_memory data dropout alpha_dropout relu gelu silu sigmoid tanh leaky_relu elu nan_to_num
    scatter gather index_copy index_fill
    mul_scalar logical_not sort_values cumsum_ adjoint mH mT pad interpolate retain_grad register_hook
"""

OPERATIONS: dict[str, Operation] = {
    **dict.fromkeys(_KEEP.split(), keep),
    **dict.fromkeys(("view", "reshape", "expand", "repeat", "broadcast_to"), view),
    **dict.fromkeys(("view_as", "reshape_as", "expand_as"), like),
    **dict.fromkeys(("chunk", "split", "tensor_split", "split_with_sizes"), pieces),
    **dict.fromkeys(("squeeze", "unfold", "diagonal", "masked_select", "take", "nonzero"), unknown_rank),
    **dict.fromkeys(("mean", "amax", "amin", "std", "var", "logsumexp", "all", "any"), reduce_dims),
    **dict.fromkeys(("sum", "prod"), sum_dims),
    "norm": norm,
    **dict.fromkeys(("masked_fill", "masked_scatter", "clamp"), broadcast),
    "pow": power,
    "tile": unknown_rank,
    **dict.fromkeys(("half", "bfloat16"), half),
    **dict.fromkeys(("float", "double", "softmax", "log_softmax", "layer_norm", "group_norm", "rms_norm", "normalize",
                     "exp", "log", "reciprocal", "rsqrt", "cumsum", "cumprod"), float32),
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d", "scaled_dot_product_attention"), projection),
    **dict.fromkeys(
        ("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like"), like_new
    ),
    **dict.fromkeys(("new_zeros", "new_ones", "new_empty"), new),
    "permute": permute,
    "unsqueeze": unsqueeze,
    "flatten": flatten,
    "unflatten": unflatten,
    "unbind": unbind,
    "to": to,
    "type": to,
    "type_as": type_as,
    "matmul": matmul,
    "bmm": bmm,
    "baddbmm": bmm,
    "repeat_interleave": repeat_interleave,
    "view_as_complex": complex_view,
    "view_as_real": unsqueeze,
    "dim": dimension_count,
    "ndimension": dimension_count,
    "size": size,
}  # fmt: skip
"""Operations by the name common to `x.name(…)`, `torch.name(x, …)` and `torch.nn.functional.name(x, …)`."""

ASKING = frozenset({"dim", "ndimension", "size"})
"""Operations that ask for the shape of the receiver."""

RANK_STATING = frozenset({"permute"})
"""Operations whose arguments state the rank of the receiver itself."""

DTYPES: dict[str, DType] = {
    **dict.fromkeys(("float16", "half", "bfloat16"), DType.HALF),
    **dict.fromkeys(("float32", "float", "float64", "double"), DType.FLOAT32),
}
