"""What operations do with the strides of a tensor that they are given: tables by name, for methods and functions.

Three kinds besides those that make a view: what gives the same result in the same layout whatever the strides (a
linear layer, `cat`, a mean), what makes a new tensor with strides like those of its operands (arithmetic, activations),
and all else, of which nothing is known.
Sources: torch's documentation of views and memory formats; each entry of the tables is run in `tests/analysis`.
"""

from __future__ import annotations

RESHAPING = frozenset({"reshape", "flatten", "contiguous", "reshape_as", "tolist", "numpy", "item"})
"""Methods that cope with any strides, and whose result may share memory with the tensor."""
KEEPING = frozenset(
    {"to", "type_as", "float", "half", "bfloat16", "double", "cuda", "cpu", "detach", "transpose", "permute",
     "unsqueeze", "squeeze", "swapaxes", "swapdims", "movedim", "type", "unflatten", "narrow", "select", "expand",
     "expand_as"}
)  # fmt: skip
"""Methods that give the tensor itself, or a view that exists for any strides."""
READING = frozenset({"shape", "size", "dtype", "device", "ndim", "dim", "numel", "requires_grad", "is_cuda", "isnan"})
"""What only tells of a tensor."""
_REDUCING = frozenset(
    {"mean", "sum", "amax", "amin", "std", "var", "norm", "prod", "all", "any", "argmax", "argmin", "logsumexp",
     "count_nonzero"}
)  # fmt: skip
"""Their result is laid out densely in the order of its axes."""
_ACTIVATIONS = frozenset({"sigmoid", "softmax", "log_softmax", "relu", "tanh"})
_ARITHMETIC = frozenset(
    {"exp", "log", "sqrt", "rsqrt", "abs", "neg", "square", "pow", "add", "sub", "mul", "div", "maximum", "minimum",
     "clamp", "clone", "masked_fill", "nan_to_num", "where", "cos", "sin", "erf"}
)  # fmt: skip
MAKING = _ACTIVATIONS | _ARITHMETIC
"""Methods that make a new tensor, laid out like the old one."""
SETTLING = _REDUCING | {"repeat"}
"""Methods that make a new tensor, laid out the same whatever the strides."""

RESHAPING_FUNCTIONS = frozenset(
    {"einops.rearrange", "einops.reduce", "einops.repeat", "torch.reshape", "torch.flatten", "torch.matmul",
     "torch.bmm", "torch.nn.functional.linear", "builtins.print"}
)  # fmt: skip
KEEPING_FUNCTIONS = frozenset({"torch.nn.functional.dropout", "torch.dropout", "torch.transpose", "torch.permute"})
MAKING_FUNCTIONS = frozenset(
    {f"torch.{name}" for name in MAKING}
    | {f"torch.nn.functional.{name}" for name in _ACTIVATIONS}
    | {f"torch.nn.functional.{name}" for name in ("gelu", "silu", "leaky_relu", "elu", "mish", "softplus", "normalize",
                                                  "layer_norm", "rms_norm")}
)  # fmt: skip
SETTLING_FUNCTIONS = frozenset({f"torch.{name}" for name in _REDUCING} | {"torch.equal", "torch.allclose"})
JOINING_FUNCTIONS = frozenset(
    {"torch.cat", "torch.concat", "torch.concatenate", "torch.stack", "torch.hstack", "torch.vstack", "torch.dstack"}
)
"""Functions that copy a list of tensors into a new one."""
