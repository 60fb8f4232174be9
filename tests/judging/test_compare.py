"""The comparison: what it checks, what it says, and that nobody feels it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf2sdpa import verify
from xf2sdpa.judging import solution
from xf2sdpa.judging.calls import PLAIN, Call
from xf2sdpa.judging.compare import compare, compare_probe
from xf2sdpa.judging.judge import Judge
from xf2sdpa.judging.model import Case
from xf2sdpa.judging.old_path import find_old_path, quiet_import
from xf2sdpa.judging.probe import Probe
from xf2sdpa.judging.reference import OPERATORS

xops = quiet_import("xformers.ops")
pytestmark = pytest.mark.filterwarnings("ignore")


def old(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    result: Tensor = xops.memory_efficient_attention(q, k, v)
    return result


def new(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, **options).transpose(1, 2)


OLD = torch.__version__ < (2, 2)


def in_half(dtype: torch.dtype) -> None:
    """Leave a test out where the CPU of this torch cannot do it."""
    if OLD and dtype == torch.float16:
        pytest.skip("torch 2.1 multiplies no float16 on the CPU")
    if OLD and dtype == torch.bfloat16:
        pytest.skip("torch 2.1 rounds scores to bfloat16 on the CPU")


def tensors(*shape: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape or (2, 12, 3, 8), generator=generator).to(dtype) for _ in range(3))


def failing(case: Case) -> list[str]:
    return [check.name for check in case.checks if check.available and not check.ok]


def probe(new_side: Callable[..., Any], strides_matter: bool = True) -> Probe:
    return Probe("here", lambda op, *atoms: op(*atoms), new_side, OPERATORS[PLAIN], strides_matter)


# ---------------------------------------------------------------------------------------------- the public function


def test_two_that_agree() -> None:
    case = verify.compare(old, new, tensors())
    assert case.ok
    assert case.compared
    assert (case.shape, case.dtype, case.mask) == ("q 2×12×3×8, k 2×12×3×8", "float32", "none")
    names = [check.name for check in case.checks if check.available]
    numbers = ["output", "gradient of query", "gradient of key", "gradient of value"]
    assert names == ["shape", "dtype", "contiguity", "dropout", "precision", "nan", *numbers]
    if find_old_path().version is None:
        assert case.notes == (find_old_path().description,)


def test_by_name_and_in_containers() -> None:
    q, k, v = tensors()
    case = compare(lambda *, qkv: old(*qkv), lambda *, qkv: new(*qkv), {"qkv": [q, k, v]})
    assert case.ok
    assert case.compared


def test_a_packed_projection_is_one_gradient() -> None:
    packed = torch.randn(2, 12, 3, 3, 8)
    case = compare(lambda x: old(*x.unbind(2)), lambda x: new(*x.unbind(2)), (packed,))
    assert [check.name for check in case.checks if check.new_error is not None] == [
        "output",
        "gradient of query, key and value",
    ]


SHARED: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "one leaf three times": lambda x, _: (x, x, x),
    "query is key": lambda x, v: (x, x, v),
    "multiples of one leaf": lambda x, _: (x, 2 * x, 3 * x),
    "one leaf negated": lambda x, _: (x, -x, x),
}


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    result: Tensor = xops.memory_efficient_attention(q, k, v, attn_bias=xops.LowerTriangularMask())
    return result


def two(seed: int, dtype: torch.dtype, *shape: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=generator).to(dtype) for _ in range(2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("form", SHARED)
def test_one_tensor_in_several_roles_is_no_false_alarm(form: str, dtype: torch.dtype) -> None:
    in_half(dtype)
    arguments = SHARED[form]
    for seed in range(20):
        inputs = two(seed, dtype, 1, 24, 2, (160, 64, 256, 96)[seed % 4])
        case = compare(
            lambda *xs: old(*arguments(*xs)), lambda *xs: new(*arguments(*xs)), inputs, seed=seed, strides_matter=False
        )
        assert case.ok, (seed, failing(case))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_equal_tensors_in_leaves_of_their_own_are_no_false_alarm(dtype: torch.dtype) -> None:
    in_half(dtype)
    """Scores that are sums of squares: their partial sums only grow, and a backward pass adds them up anew."""
    for seed in range(20):
        x, _ = two(seed, dtype, 1, 24, 2, 160)
        case = compare(old, new, (x, x, x), seed=seed, strides_matter=False)
        assert case.ok, (seed, failing(case))


@pytest.mark.parametrize(
    ("form", "roles"),
    [
        ("one leaf three times", ["query, key and value"]),
        ("query is key", ["query and key", "value"]),
        ("multiples of one leaf", ["query, key and value"]),
    ],
)
def test_the_gradient_of_one_leaf_is_named_by_all_its_roles(form: str, roles: list[str]) -> None:
    arguments = SHARED[form]
    case = compare(
        lambda *xs: old(*arguments(*xs)), lambda *xs: new(*arguments(*xs)), two(0, torch.float32, 1, 8, 2, 16)
    )
    names = [check.name for check in case.checks if check.name.startswith("gradient")]
    assert names == [f"gradient of {role}" for role in roles]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("form", SHARED)
def test_a_wrong_rewrite_is_caught_where_one_tensor_has_several_roles(form: str, dtype: torch.dtype) -> None:
    in_half(dtype)
    arguments = SHARED[form]
    wrongs: list[tuple[Callable[..., Tensor], Callable[..., Tensor]]] = [
        (old, lambda *xs: new(*xs, scale=0.25)),
        (old, lambda *xs: new(*xs, scale=0.1)),
        (causal, new),
        (old, F.scaled_dot_product_attention),
    ]
    for seed in range(5):
        inputs = two(seed, dtype, 2, 12, 3, 24)
        for number, (right, wrong) in enumerate(wrongs):
            case = compare(
                lambda *xs: right(*arguments(*xs)),  # noqa: B023
                lambda *xs: wrong(*arguments(*xs)),  # noqa: B023
                inputs,
                seed=seed,
                strides_matter=False,
            )
            assert "output" in failing(case), (number, seed)
            assert any(name.startswith("gradient of query") for name in failing(case)), (number, seed)


def test_a_whole_module_with_projections_in_half() -> None:
    class Attention(nn.Module):
        def __init__(self, attend: Callable[..., Tensor]) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.qkv, self.out, self.attend = nn.Linear(24, 72), nn.Linear(24, 24), attend

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = self.qkv(x).view(2, 12, 3, 3, 8).unbind(2)
            return self.out(self.attend(q, k, v).reshape(2, 12, 24))

    x = torch.randn(2, 12, 24).bfloat16()
    case = compare(Attention(old).bfloat16(), Attention(new).bfloat16(), (x,))
    assert case.ok
    assert not any("no float64 judge" in note for note in case.notes)
    wrong = compare(Attention(old).bfloat16(), Attention(lambda *xs: new(*xs, scale=0.2)).bfloat16(), (x,))
    assert "output" in failing(wrong)


def test_without_a_call_of_xformers_a_judge_can_be_given() -> None:
    arguments = (new, lambda q, k, v: new(q, k, v, scale=0.36), tensors())
    case = compare(*arguments, judge=new)
    assert "output" in failing(case)
    assert compare(arguments[0], new, tensors(), judge=new).compared
    blind = compare(*arguments)
    assert "the tolerances of xformers' own tests" in blind.notes[0]
    assert "output" in failing(blind)


def test_every_variant_is_intercepted() -> None:
    def with_lse(q: Tensor, k: Tensor, v: Tensor) -> Any:
        return xops.memory_efficient_attention_forward_requires_grad(q, k, v)

    def right(q: Tensor, k: Tensor, v: Tensor) -> Any:
        scores = torch.einsum("bmhk,bnhk->bhmn", q, k) * q.shape[-1] ** -0.5
        with torch.no_grad():
            return new(q, k, v).contiguous(), scores.detach().logsumexp(-1)

    case = compare(with_lse, right, tensors())
    assert case.ok, case.checks
    assert {"output 0", "output 1"} <= {check.name for check in case.checks}
    wrong = compare(with_lse, lambda q, k, v: (right(q, k, v)[0], right(q, k, v)[1] * 1.001), tensors())
    assert failing(wrong) == ["output 1"]


# ------------------------------------------------------------------------------------------------- what is said


@pytest.mark.parametrize(
    ("wrong", "check", "told"),
    [
        (lambda q, k, v: new(q, k, v)[:, :-1], "shape", "(2, 12, 3, 8) became (2, 11, 3, 8)"),
        (lambda q, k, v: (new(q, k, v), q), "shape", "(2, 12, 3, 8) became (2, 12, 3, 8), (2, 12, 3, 8)"),
        (lambda q, k, v: new(q, k, v).double(), "dtype", "float32 became float64"),
        (lambda q, k, v: new(q, k, v).mT.contiguous().mT, "contiguity", "now it has strides (288, 24, 1, 3)"),
        (lambda q, k, v: new(q, k, v, dropout_p=0.5), "dropout", "dropout p: 0.0 became 0.5"),
        (lambda q, k, v: new(q.bfloat16(), k.bfloat16(), v.bfloat16()).float(), "precision", "attention in bfloat16"),
        (lambda q, k, v: new(q, k, v) / 0, "nan", "output: 576 of 576 values are infinite, the old ones are not"),
        (lambda q, k, v: new(q, k.detach(), v), "gradient of key", "the new side gives none"),
        (lambda q, k, v: 1 / 0, "runs", "the new side raises ZeroDivisionError: division by zero"),
    ],
)
def test_one_sentence_for_each_failure(wrong: Callable[..., Any], check: str, told: str) -> None:
    case = compare(old, wrong, tensors())
    found = next(one for one in case.checks if one.name == check)
    assert not found.ok
    assert told in found.message


def test_the_first_bad_index() -> None:
    def wrong(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        spoiled = torch.zeros(2, 12, 3, 8)
        spoiled[1, 5, 2, 7] = 0.01
        return new(q, k, v) + spoiled

    output = next(check for check in compare(old, wrong, tensors()).checks if check.name == "output")
    assert output.first_bad == (1, 5, 2, 7)
    assert output.new_error is not None
    assert output.limit is not None
    assert output.new_error > output.limit
    assert output.message == "", "the figures say it all"


def test_what_the_old_path_refuses_is_no_agreement() -> None:
    q, k, v = tensors()
    case = compare(old, new, (q, k[:, :, :2], v))
    assert not case.compared
    assert not case.ok
    assert not case.failed
    assert [(check.name, check.available) for check in case.checks] == [("old path", False)]
    assert "ValueError" in case.checks[0].message


def test_arguments_that_neither_side_takes_are_no_agreement() -> None:
    case = compare(old, new, tensors()[:2])
    assert "TypeError" in case.checks[0].message
    assert not case.ok


@pytest.mark.parametrize(
    ("inputs", "told"), [(torch.ones(2, 5, 2, 8), r"one tensor of shape \(2, 5, 2, 8\)"), (3, "int")]
)
def test_inputs_that_are_no_arguments_are_refused(inputs: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        compare(old, new, inputs)


def test_strides_that_do_not_matter() -> None:
    strided = tensors()
    case = compare_probe(probe(lambda *xs: new(*xs).mT.contiguous().mT, False), strided, seed=0)
    assert case.ok
    assert "contiguity" not in [check.name for check in case.checks]


def test_dropout_is_off_for_numbers_and_noted() -> None:
    def with_dropout(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        result: Tensor = F.dropout(xops.memory_efficient_attention(q, k, v, p=0.3), 0.1)
        return result

    case = compare(with_dropout, lambda *xs: F.dropout(new(*xs, dropout_p=0.3), 0.1), tensors())
    assert case.ok
    assert "dropout p = 0.3 on the old side; numbers are compared with p = 0 on both" in case.notes
    assert failing(compare(with_dropout, lambda *xs: new(*xs, dropout_p=0.3), tensors())) == ["dropout"]


@pytest.mark.skipif(OLD, reason="autocast of torch 2.1 does not cast SDPA on the CPU")
def test_autocast_stays_on_for_both() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        case = compare(old, new, tensors())
        half = compare(old, new, tensors(dtype=torch.bfloat16))
    assert case.autocast == "bfloat16"
    assert {"dtype", "precision", "output"} <= set(failing(case))
    assert half.ok


def test_a_gradient_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    given = torch.zeros(2, 12, 3, 8)
    given[0] = 1000.0

    def spoiled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = new(q, k, v).contiguous()
        return torch.cat([out[:1], out[1:].detach()])

    assert compare_probe(probe(spoiled), tensors(), seed=0, upstream=(given,)).ok
    assert not compare_probe(probe(spoiled), tensors(), seed=0).ok


def test_what_the_sample_leaves_out_is_compared_with_the_old_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(solution.SCORES, "cpu", 3 * 16 * 16)
    inputs = tensors(4, 16, 4, 8)
    case = compare_probe(probe(new), inputs, seed=0)
    assert case.ok
    assert any("judged on a sample" in note for note in case.notes)
    left_out = next(pair for pair in range(16) if pair not in judged_pairs(inputs))

    def one_head_wrong(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out, other = new(q, k, v), new(q, k, v, scale=0.2)
        return torch.where(torch.arange(16).view(4, 1, 4, 1) == left_out, other, out)

    wrong = compare_probe(probe(one_head_wrong), inputs, seed=0)
    output = next(check for check in wrong.checks if check.name == "output")
    assert not output.ok
    assert "outside the judged sample" in output.message


def judged_pairs(inputs: tuple[Tensor, ...]) -> list[int]:
    judge = Judge(0)
    judge.value(Call(PLAIN, *inputs))
    found: list[int] = judge.solutions[0].pairs.tolist()
    return found


def test_a_bias_gets_a_gradient_only_where_it_asks_for_one() -> None:
    q, k, v = tensors()
    bias = torch.randn(2, 3, 12, 12)
    side = probe(lambda q, k, v, b: new(q, k, v, attn_mask=b).contiguous())
    assert "gradient of bias" not in [check.name for check in compare_probe(side, (q, k, v, bias), seed=0).checks]
    asked = compare_probe(side, (q.requires_grad_(), k, v, bias.requires_grad_()), seed=0)
    names = [check.name for check in asked.checks if check.name.startswith("gradient")]
    assert names == ["gradient of query", "gradient of bias"]
    assert asked.ok


def test_nan_on_both_sides_is_no_difference() -> None:
    q, k, v = tensors()
    v[0, 3] = math.nan
    assert compare(old, new, (q, k, v)).ok


# ----------------------------------------------------------------------------------------------- nobody feels it


def test_nobody_feels_it() -> None:
    q, k, v = tensors()
    q.requires_grad_()
    upstream = q * 2
    before = [x.detach().clone() for x in (q, k, v)]
    state, packed = torch.get_rng_state(), []

    def pack(x: Tensor) -> Tensor:
        packed.append(x)
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x), torch.no_grad():
        compare(old, new, (upstream, k, v))
        assert not torch.is_grad_enabled()
    assert not packed
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(x, y) for x, y in zip((q, k, v), before, strict=True))
    assert q.grad is None
    assert [x.requires_grad for x in (q, k, v)] == [True, False, False]
    upstream.sum().backward()


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_in_any_mode(mode: Callable[[], Any]) -> None:
    with mode():
        q, k, v = tensors()
        case = compare(old, new, (q * 1, k * 1, v * 1))
    assert case.ok
    assert "gradient of query" in [check.name for check in case.checks]


def test_old_and_new_are_never_given_the_same_tensors() -> None:
    def greedy(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = new(q, k, v)
        with torch.no_grad():
            q.zero_()
        return out

    inputs = tensors()
    case = compare(old, greedy, inputs, gradients=False)
    assert case.ok
    assert inputs[0].any()


def test_bool_results_are_compared() -> None:
    inputs = dict(zip("qkv", tensors(), strict=True))
    assert compare(lambda q, k, v: old(q, k, v).isnan(), lambda q, k, v: new(q, k, v).isnan(), inputs).ok
    assert not compare(lambda q, k, v: old(q, k, v).isnan(), lambda q, k, v: ~new(q, k, v).isnan(), inputs).ok
