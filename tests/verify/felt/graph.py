"""A forward and a backward pass in a CUDA graph."""

import torch
import xformers.ops as xops


def attend(q, k, v):
    return xops.memory_efficient_attention(q, k, v).flatten(2)


if __name__ == "__main__":
    torch.manual_seed(0)
    inputs = [torch.randn(2, 64, 4, 64, device="cuda", dtype=torch.half, requires_grad=True) for _ in range(3)]
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            attend(*inputs).float().square().mean().backward()
    torch.cuda.current_stream().wait_stream(side)
    for x in inputs:
        x.grad = None
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = attend(*inputs).float().square().mean()
        loss.backward()
    for _ in range(3):
        graph.replay()
        print(loss.item().hex(), *(x.grad.float().sum().item().hex() for x in inputs))
