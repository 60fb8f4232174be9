"""What well-known methods and functions of other libraries return, by their documentation; each with its library.

Nothing in the file shows these ranks, so whatever rests on them is assumed, and the sentence names the library.
Sources: diffusers' `Attention` (`models/attention_processor.py`; `CrossAttention` before 0.16), whose methods document
their shapes; transformers' `repeat_kv` and `apply_rotary_pos_emb`, which every `modeling_*.py` with grouped heads has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from xf2sdpa.analysis.tensor_ops import Arguments
from xf2sdpa.analysis.values import NONE, DType, Items, OneOf, Rank, Scalar, Tensor, Value, as_tensor
from xf2sdpa.model import Assumption, Way


@dataclass(frozen=True)
class Known:
    """What a call of another library's returns.

    Attributes:
        home: the library and the object, as the report says it.
        rank: the number of dimensions of the result; None for that of the first argument.
        out_dim: the position of an argument that asks for another number of dimensions; None if there is none.
        optional: whether the result may be None.
        parts: how many such tensors come in a tuple; 0 for one that comes alone.
    """

    home: str
    rank: int | None
    out_dim: int | None = None
    optional: bool = False
    parts: int = 0


_ATTENTION = "diffusers' Attention (0.11 or newer)"
_OLDER = "diffusers' CrossAttention (before 0.11)"
METHODS = {
    "head_to_batch_dim": Known(_ATTENTION, 3, out_dim=1),
    "batch_to_head_dim": Known(_ATTENTION, 3),
    "get_attention_scores": Known(_ATTENTION, 3),
    "prepare_attention_mask": Known(_ATTENTION, 3, out_dim=3, optional=True),
    "reshape_heads_to_batch_dim": Known(_OLDER, 3),
    "reshape_batch_dim_to_heads": Known(_OLDER, 3),
}
"""Methods, by name: the object that they are called on is a parameter, whose class the file does not show."""
CLASSES = frozenset({"Attention", "CrossAttention"})
"""Classes that have them, where a fork of the library is rewritten itself."""
_LLAMA = "transformers (4.31 or newer)"
FUNCTIONS = {
    "repeat_kv": Known(_LLAMA, 4),
    "apply_rotary_pos_emb": Known("transformers (4.20 or newer)", None, parts=2),
    "rotate_half": Known("transformers (4.20 or newer)", None),
}
"""Functions of modules of transformers, by the last component of their path."""


def method(name: str, arguments: Arguments) -> Value | None:
    """What a method of that name returns; None if it is none of the well-known, or asked for something else."""
    known = METHODS.get(name)
    return _result(known, f"{name} is the method of {known.home}", arguments) if known is not None else None


def function(dotted: str, arguments: Arguments) -> Value | None:
    """The same for a function, by the dotted path that it is imported by."""
    root, _, name = dotted.rpartition(".")
    known = FUNCTIONS.get(name) if root.partition(".")[0] == "transformers" else None
    return _result(known, f"{name} is the function of {known.home}", arguments) if known is not None else None


def _result(known: Known, sentence: str, arguments: Arguments) -> Value | None:
    given = frozenset({Assumption(sentence, Way.LIBRARY)})
    if known.parts:
        items = tuple(_like(arguments.get(index), None, given) for index in range(known.parts))
        return Items(tuple(item for item in items if item is not None)) if all(items) else None
    rank = known.rank
    if known.out_dim is not None and (asked := arguments.get(known.out_dim, "out_dim")) is not None:
        rank = asked.value if isinstance(asked, Scalar) and isinstance(asked.value, int) else None
        if rank is None:
            return None
    result = _like(arguments.get(0, "tensor", "hidden_states", "attention_mask"), rank, given)
    if not known.optional:
        return result
    # also for None: what a library would return for it is no reason to drop a mask without a word
    return OneOf(frozenset({NONE, Tensor(Rank(rank or 0), DType.UNKNOWN, given)}))


def _like(argument: Value | None, rank: int | None, given: frozenset[str]) -> Tensor | None:
    """A tensor of an argument's dtype; of its rank too, if no other is given."""
    tensor = as_tensor(argument) if argument is not None else None
    if rank is None:
        return replace(tensor, given=tensor.given | given) if tensor is not None else None
    return Tensor(Rank(rank), tensor.dtype if tensor is not None else DType.UNKNOWN, given)
