"""One step of training on pictures of three sizes, and the step for one size only."""

import torch
from torch import Tensor, nn

from .attention import XFORMERS_AVAILABLE, MemEffAttention
from .block import NestedTensorBlock, attn_bias_cache

if XFORMERS_AVAILABLE:
    from xformers.ops.fmha import BlockDiagonalMask


class Backbone(nn.Module):
    """A few blocks over a list of token tensors."""

    def __init__(self, dim: int = 24, heads: int = 3, depth: int = 2) -> None:
        super().__init__()
        rates = [0.0, 0.4][:depth]
        self.blocks = nn.ModuleList(
            NestedTensorBlock(dim, heads, drop_path=rate, attn_class=MemEffAttention) for rate in rates
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens):
        for block in self.blocks:
            tokens = block(tokens)
        return [self.norm(x) for x in tokens] if isinstance(tokens, list) else self.norm(tokens)


class Head(nn.Module):
    """A layer on the first token of every sequence, all packed into one."""

    def __init__(self, dim: int = 24, classes: int = 5) -> None:
        super().__init__()
        self.layer = nn.Linear(dim, classes)

    def forward(self, outputs: list[Tensor]) -> list[Tensor]:
        firsts = [x[:, :1] for x in outputs]
        attn_bias, packed = BlockDiagonalMask.from_tensor_list(firsts)
        return [part.squeeze(1) for part in attn_bias.split(self.layer(packed))]


def step(model: nn.Module, head: nn.Module, batches: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    """The outputs and the loss, with its gradients in the parameters."""
    if not XFORMERS_AVAILABLE:
        outputs = []
        for x in batches:  # one size after the other
            outputs += [head.layer(model(x)[:, 0])]
    else:
        outputs = head(model(batches))
    loss = sum(out.logsumexp(-1).mean() * (i + 1) for i, out in enumerate(outputs))
    loss.backward()
    return outputs, loss


def run() -> dict[str, Tensor | str | int]:
    """Two steps from a fixed seed: everything that a migration must not change."""
    torch.manual_seed(3)
    model, head = Backbone().double().train(), Head().double()
    batches = [torch.randn(batch, length, 24).double() for batch, length in ((4, 7), (3, 12), (5, 4))]
    result: dict[str, Tensor | str | int] = {"path": "fast" if XFORMERS_AVAILABLE else "eager"}
    for number in range(2):
        batches = [batch.detach().requires_grad_() for batch in batches]
        outputs, loss = step(model, head, batches)
        result[f"loss {number}"] = loss.detach()
        result |= {f"output {number}.{i}": out.detach() for i, out in enumerate(outputs)}
        result |= {f"input gradient {number}.{i}": batch.grad for i, batch in enumerate(batches)}
    parts = [("model", model), ("head", head)]
    result |= {f"{part}.{name}": p.grad for part, module in parts for name, p in module.named_parameters()}
    result["masks"] = len(attn_bias_cache)
    return result
