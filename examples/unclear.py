"""Two functions that do not show all that a rewrite must know."""

import torch.nn.functional as F
from xformers.ops import memory_efficient_attention


def attend(q, k, v, heads):
    """Rewritten, with an assumption: nothing here tells the dtype that the caller hands over."""
    b, _, c = q.shape
    q, k, v = (x.view(b, -1, heads, c // heads) for x in (q, k, v))
    return F.dropout(memory_efficient_attention(q, k, v).flatten(2), 0.1)


def attend_with_mask(q, k, v, mask):
    """Left: the mask may be a tensor, an object of xformers or None, and q may have three or four dimensions."""
    return memory_efficient_attention(q, k, v, attn_bias=mask)
