"""Five families of attention, each written for xformers the way its field writes it."""

import torch
import xformers.ops as xops
from torch import nn
from xformers.ops.fmha import BlockDiagonalMask


class ImageAttention(nn.Module):
    """A vision transformer's: every token sees every token, `[B, M, H, K]`."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        """Attend over `[B, M, width]`."""
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).unbind(2)
        x = xops.memory_efficient_attention(q, k, v)
        return self.out(x.view(b, n, c))


class CrossAttention(nn.Module):
    """A latent diffusion model's: pixels look at a prompt of 77 tokens; heads are in the batch, `[B * H, M, K]`."""

    def __init__(self, width, context_width, heads):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context_width, width, bias=False)
        self.to_v = nn.Linear(context_width, width, bias=False)
        self.to_out = nn.Linear(width, width)

    def forward(self, x, context):
        """Attend from `[B, M, width]` to `[B, 77, context_width]`."""
        q, k, v = self.to_q(x), self.to_k(context), self.to_v(context)
        b, n, c = q.shape
        q, k, v = (
            t.reshape(b, t.shape[1], self.heads, c // self.heads)
            .permute(0, 2, 1, 3)
            .reshape(b * self.heads, t.shape[1], c // self.heads)
            .contiguous()
            for t in (q, k, v)
        )
        out = xops.memory_efficient_attention(q, k, v, attn_bias=None, op=None)
        out = out.reshape(b, self.heads, n, c // self.heads).permute(0, 2, 1, 3).reshape(b, n, c)
        return self.to_out(out)


class CausalAttention(nn.Module):
    """A language model's: a token sees itself and what came before it."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(self, x):
        """Attend over `[B, M, width]`."""
        b, s, c = x.shape
        q, k, v = (w(x).view(b, s, self.heads, c // self.heads) for w in (self.wq, self.wk, self.wv))
        out = xops.memory_efficient_attention(q, k, v, attn_bias=xops.LowerTriangularMask())
        return self.wo(out.reshape(b, s, c))


class BiasedAttention(nn.Module):
    """A text encoder's: a learnt number for each head and distance is added to the scores, which are not scaled."""

    def __init__(self, width, heads, length):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.distance = nn.Parameter(torch.zeros(heads, 2 * length - 1))
        steps = torch.arange(length)
        self.register_buffer("steps", steps[:, None] - steps[None, :] + length - 1, persistent=False)

    def forward(self, x):
        """Attend over `[B, length, width]`."""
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).unbind(2)
        bias = self.distance[:, self.steps].to(q.dtype).unsqueeze(0).repeat(b, 1, 1, 1)
        x = xops.memory_efficient_attention(q, k, v, attn_bias=bias, scale=1.0)
        return self.out(x.reshape(b, n, c))


class PackedAttention(nn.Module):
    """Sequences of different lengths in one row, each sees itself only."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x, lengths):
        """Attend over `[1, sum(lengths), width]`."""
        mask = BlockDiagonalMask.from_seqlens(lengths, device=x.device)
        _, n, c = x.shape
        q, k, v = self.qkv(x).reshape(1, n, 3, self.heads, c // self.heads).unbind(2)
        x = xops.memory_efficient_attention(q, k, v, attn_bias=mask)
        return self.out(x.reshape(1, n, c))
