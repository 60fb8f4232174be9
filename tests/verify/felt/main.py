"""Runs everything that a shadow could disturb, and prints what came out, to the last bit."""

import asyncio
import json
import random
import threading
import warnings

import attention
import torch
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts
from torch.utils.flop_counter import FlopCounterMode

warnings.simplefilter("ignore")


LENGTH = [0]
"""Of all sequences: another one in each scene, so that each has samples of its own."""


def tensors(count=3, requires_grad=True):
    return [torch.randn(2, LENGTH[0], 2, 8, requires_grad=requires_grad) for _ in range(count)]


def trained(step, parameters, rate=0.1):
    """Losses of four steps, and the parameters' sum."""
    losses = []
    for _ in range(4):
        loss = step()
        losses.append(loss.item())
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.data -= rate * parameter.grad
                parameter.grad = None
    return [*losses, sum(parameter.double().sum().item() for parameter in parameters)]


def layer_step(layer, run, scale=lambda loss: loss.backward()):
    def step():
        loss = run(layer, torch.randn(2, LENGTH[0], 16)).square().mean()
        scale(loss)
        return loss

    return step


def plain():
    layer = attention.SelfAttention()
    return trained(layer_step(layer, lambda f, x: f(x)), list(layer.parameters()))


def checkpoint_without_reentry():
    layer = attention.SelfAttention()
    step = layer_step(layer, lambda f, x: checkpoint(f, x.requires_grad_(), use_reentrant=False))
    return trained(step, list(layer.parameters()))


def checkpoint_with_reentry():
    layer = attention.SelfAttention()
    step = layer_step(layer, lambda f, x: checkpoint(f, x.requires_grad_(), use_reentrant=True))
    return trained(step, list(layer.parameters()))


def selective_checkpoint():
    def contexts():
        policy = CheckpointPolicy.MUST_SAVE
        return create_selective_checkpoint_contexts(
            lambda _, op, *a, **k: policy if op == torch.ops.aten.addmm.default else CheckpointPolicy.PREFER_RECOMPUTE
        )

    layer = attention.SelfAttention()
    step = layer_step(layer, lambda f, x: checkpoint(f, x, use_reentrant=False, context_fn=contexts))
    return trained(step, list(layer.parameters()))


def torch_compile():
    function = torch.compile(attention.compiled, backend="eager", fullgraph=True)
    results = []
    for _ in range(3):
        inputs = tensors()
        out = function(*inputs)
        out.square().sum().backward()
        results += [out.sum().item(), *(x.grad.sum().item() for x in inputs)]
    return results


def autocast_and_scaler():
    layer = attention.SelfAttention(causal=False)
    optimizer = torch.optim.AdamW(layer.parameters(), 0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
    losses = []
    for _ in range(4):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = layer(torch.randn(2, LENGTH[0], 16)).float().square().mean()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        losses += [loss.item(), scaler.get_scale()]
    return losses


def changed_in_place():
    q, k, v = tensors()
    out = attention.in_place(q * 1, k, v)
    out.sum().backward()
    return [out.sum().item(), *(x.grad.sum().item() for x in (q, k, v))]


def dropout():
    layer = attention.SelfAttention(dropout=0.3)
    return [*trained(layer_step(layer, lambda f, x: f(x)), list(layer.parameters())), torch.rand(()).item()]


def popped_items():
    items = tensors(4)
    return [attention.popped(items).sum().item(), len(items)]


def an_async_caller():
    async def given(name):
        await asyncio.sleep(0)
        return torch.randn(1, LENGTH[0], 2, 8) + len(name)

    async def both():
        return await asyncio.gather(attention.awaited(given, "a"), attention.awaited(given, "b"))

    return [out.sum().item() for out in asyncio.run(both())]


def operations_are_counted():
    with FlopCounterMode(display=False) as counter:
        attention.counted(*tensors()).sum().backward()
    return [counter.get_total_flops()]


def without_gradients():
    with torch.no_grad():
        first = attention.kept(*tensors())
    with torch.inference_mode():
        second = attention.kept(*tensors())
    return [first.sum().item(), second.sum().item(), second.is_inference(), first.requires_grad]


def graph_kept_and_hooked():
    q, k, v = tensors()
    seen = []
    out = attention.kept(q, k, v)
    out.register_hook(lambda gradient: seen.append(gradient.sum().item()))
    out.retain_grad()
    loss = out.square().sum()
    loss.backward(retain_graph=True)
    loss.backward()
    return [*seen, out.grad.sum().item(), q.grad.sum().item(), len(out._backward_hooks)]


def saved_tensors_are_counted():
    packed = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: packed.append(x.shape) or x, lambda x: x):
        out = attention.kept(*tensors())
    out.sum().backward()
    return [len(packed)]


def threads():
    results = {}

    def work(number):
        generator = torch.Generator().manual_seed(number)
        inputs = [torch.randn(1, LENGTH[0], 2, 8, generator=generator, requires_grad=True) for _ in range(3)]
        for _ in range(5):
            out = attention.kept(*inputs)
            out.sum().backward()
        results[number] = sum(x.grad.sum().item() for x in inputs)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [results[number] for number in sorted(results)]


def other_modes():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        out = attention.kept(*tensors())
        out.sum().backward()
        with torch.autograd.set_detect_anomaly(True):
            attention.kept(*tensors()).sum().backward()
    finally:
        torch.set_default_dtype(before)
    return [out.sum().item(), str(out.dtype), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")]


def random_numbers():
    attention.kept(*tensors()).sum().backward()
    return [torch.rand(()).item(), random.random(), torch.initial_seed()]


SCENES = [
    plain, checkpoint_without_reentry, checkpoint_with_reentry, selective_checkpoint, torch_compile,
    autocast_and_scaler, changed_in_place, dropout, popped_items, an_async_caller, operations_are_counted,
    without_gradients, graph_kept_and_hooked, saved_tensors_are_counted, threads, other_modes, random_numbers,
]  # fmt: skip

if __name__ == "__main__":
    for number, scene in enumerate(SCENES, 5):
        LENGTH[0] = number
        torch.manual_seed(1)
        random.seed(1)
        values = [value.hex() if isinstance(value, float) else value for value in scene()]
        print(json.dumps([scene.__name__, values]), flush=True)
