"""`xf2sdpa.h200` with a GPU that is only said to be there, and processors shaped like diffusers'."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xf2sdpa import h200

NEW_API = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 9)


@pytest.fixture(autouse=True)
def flags() -> Iterator[None]:
    """Flags as torch has them at first, and again at the end."""
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = False


@pytest.fixture
def hopper() -> Iterator[None]:
    with (
        mock.patch.object(torch.cuda, "is_available", return_value=True),
        mock.patch.object(torch.cuda, "get_device_capability", return_value=(9, 0)),
    ):
        yield


def state() -> tuple[Any, ...]:
    new = (torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision) if NEW_API else ()
    return (torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark, *new)


# -- flags -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("hopper")
def test_the_flags_are_set_and_the_model_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 8))
    assert h200.apply(model) is model
    assert state()[:2] == ("high", True)
    printed = capsys.readouterr().out
    assert 'xf2sdpa.h200: torch.set_float32_matmul_precision("high"): ' in printed
    assert "10 bits of mantissa instead of 23" in printed
    assert "torch.backends.cudnn.benchmark = True: " in printed
    assert torch.backends.cuda.matmul.allow_tf32, "the older API can be read"


@pytest.mark.usefixtures("hopper")
def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    done = h200.apply(quiet=True)
    assert capsys.readouterr().out == ""
    assert len(done.said) == 2


@pytest.mark.usefixtures("hopper")
def test_without_a_model_it_is_a_context_manager_and_everything_goes_back() -> None:
    before = state()
    with h200.apply(flags=["tf32", "cudnn-benchmark"], quiet=True) as done:
        assert state()[:2] == ("high", True)
    assert state() == before
    done.undo()
    assert state() == before


@pytest.mark.usefixtures("hopper")
def test_applied_puts_everything_back_after_an_error_too() -> None:
    before = state()
    model = nn.Conv2d(3, 8, 3)

    def fail() -> None:
        with h200.applied(model, quiet=True) as same:
            assert same is model
            assert state()[:2] == ("high", True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert state() == before


@pytest.mark.usefixtures("hopper")
def test_a_flag_that_would_do_nothing_is_not_set(capsys: pytest.CaptureFixture[str]) -> None:
    h200.apply(nn.Linear(8, 8).to(torch.bfloat16))
    assert state()[:2] == ("highest", False)
    printed = capsys.readouterr().out
    assert "tf32 not set: the model has no float32 parameter" in printed
    assert "cudnn-benchmark not set: the model has no convolution" in printed


@pytest.mark.usefixtures("hopper")
def test_without_a_model_there_is_no_reason_for_a_flag() -> None:
    assert h200.apply(quiet=True).said == [
        "tf32 not set: there is no model to look at",
        "cudnn-benchmark not set: there is no model to look at",
    ]
    assert state()[:2] == ("highest", False)


@pytest.mark.usefixtures("hopper")
def test_under_autocast_no_float32_product_runs() -> None:
    with mock.patch.object(torch, "is_autocast_enabled", return_value=True):
        done = h200._apply(nn.Linear(8, 8), quiet=True)
    assert done.said[0] == "tf32 not set: autocast to torch.float16 is on"


def test_a_flag_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="no such flag: fa5; there are tf32, cudnn-benchmark, nan-guard, fa4"):
        h200.apply(flags=["fa5"])


@pytest.fixture
def cudnn() -> Iterator[None]:
    """cuDNN's attention allowed, whatever a test does to it."""
    if not hasattr(torch.backends.cuda, "cudnn_sdp_enabled"):
        pytest.skip("cuDNN attention came with torch 2.5")
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)
    yield
    torch.backends.cuda.enable_cudnn_sdp(before)


@pytest.mark.usefixtures("hopper", "cudnn")
@pytest.mark.parametrize(
    ("version", "cudnn_version", "off"),
    [("2.11.0", 91900, True), ("2.14.1", 92400, True), ("2.13.0", 92600, False), ("2.10.0", 91002, False)],
)
def test_nan_guard_keeps_sdpa_off_an_old_cudnn(version: str, cudnn_version: int, off: bool) -> None:
    with (
        mock.patch.object(torch, "__version__", version),
        mock.patch.object(torch.backends.cudnn, "version", return_value=cudnn_version),
    ):
        done = h200.apply(flags=["nan-guard"], quiet=True)
    assert torch.backends.cuda.cudnn_sdp_enabled() != off
    assert done.said[-1].startswith("nan-guard: " if off else "nan-guard not set: ")
    done.undo()
    assert torch.backends.cuda.cudnn_sdp_enabled()


@pytest.mark.usefixtures("hopper", "cudnn")
@pytest.mark.parametrize(("version", "activated"), [("2.15.0", True), ("2.15.0", False), ("2.14.1", False)])
def test_fa4_is_activated_where_it_is_installed(version: str, activated: bool) -> None:
    done_to: list[str] = []

    def activate(name: str) -> None:
        if not activated:
            raise ModuleNotFoundError("No module named 'flash_attn'")
        done_to.append(name)

    attention = mock.Mock(
        activate_flash_attention_impl=activate, restore_flash_attention_impl=lambda: done_to.append("back")
    )
    with mock.patch.object(torch, "__version__", version), mock.patch.object(torch.nn, "attention", attention):
        done = h200.apply(flags=["fa4"], quiet=True)
        assert torch.backends.cuda.cudnn_sdp_enabled() != activated
        done.undo()
    assert done_to == (["FA4", "back"] if activated else [])
    assert torch.backends.cuda.cudnn_sdp_enabled()


@pytest.mark.usefixtures("hopper")
def test_what_the_program_set_is_left() -> None:
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.deterministic = True
    done = h200.apply(flags=["tf32", "cudnn-benchmark"], quiet=True)
    assert state()[:2] == ("medium", False)
    assert done.said == [
        "tf32 not set: the precision is 'medium' already",
        "cudnn-benchmark not set: the program asks for deterministic algorithms",
    ]
    torch.backends.cudnn.deterministic = False
    torch.backends.cudnn.benchmark = True
    with h200.applied(nn.Conv2d(3, 8, 3), quiet=True):
        pass
    assert torch.backends.cudnn.benchmark, "what it did not set it does not put back"


def test_a_torch_that_knows_no_such_attribute() -> None:
    class Matmul:
        def __getattr__(self, name: str) -> None:
            raise AssertionError(f"Unknown attribute {name}")  # as torch 2.1's own object does

    assert not h200._has_precision(Matmul())


@pytest.mark.usefixtures("hopper")
@pytest.mark.skipif(not NEW_API, reason="torch has no fp32_precision yet")
def test_the_precision_apis_are_not_mixed() -> None:
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    done = h200.apply(flags=["tf32"], quiet=True)
    assert done.said[0] == "tf32 not set: the program sets fp32_precision itself"
    assert torch.backends.cuda.matmul.fp32_precision == "tf32"


def test_without_a_gpu_it_says_why() -> None:
    with mock.patch.object(torch.cuda, "is_available", return_value=False):
        done = h200.apply(quiet=True)
    assert done.said == ["no flags set: there is no CUDA device"]
    assert state()[:2] == ("highest", False)


def test_on_another_gpu_it_says_why() -> None:
    with (
        mock.patch.object(torch.cuda, "is_available", return_value=True),
        mock.patch.object(torch.cuda, "get_device_capability", return_value=(8, 0)),
        mock.patch.object(torch.cuda, "get_device_name", return_value="NVIDIA A100"),
    ):
        done = h200.apply(quiet=True)
    assert done.said == ["no flags set: NVIDIA A100 has compute capability 8.0, not 9.0 (Hopper)"]


# -- processors, shaped like those of diffusers ------------------------------------------------------


def attention(attn: nn.Module, x: torch.Tensor, scale: float | None) -> torch.Tensor:
    """Attention by SDPA for both kinds of processors: only `scale` differs between them."""
    heads: Any = attn.heads
    q, k, v = (layer(x).unflatten(-1, (heads, -1)).transpose(1, 2) for layer in (attn.to_q, attn.to_k, attn.to_v))  # type: ignore[operator]
    return F.scaled_dot_product_attention(q, k, v, scale=scale).transpose(1, 2).flatten(2)


class XFormersAttnProcessor:
    def __init__(self, attention_op: Any = None) -> None:
        self.attention_op = attention_op

    def __call__(self, attn: Any, x: torch.Tensor) -> torch.Tensor:
        return attention(attn, x, attn.scale)


class AttnProcessor2_0:  # noqa: N801 - diffusers' name
    def __call__(self, attn: Any, x: torch.Tensor) -> torch.Tensor:
        return attention(attn, x, None)


class XFormersJointAttnProcessor(XFormersAttnProcessor):
    pass


class JointAttnProcessor2_0(AttnProcessor2_0):  # noqa: N801
    pass


class XFormersAttnAddedKVProcessor(XFormersAttnProcessor):
    """Its counterpart is missing here, as in a diffusers too old for it."""


class IPAdapterXFormersAttnProcessor(nn.Module):
    def __init__(self, hidden_size: int, num_tokens: int = 4, scale: float = 1.0, attention_op: Any = None) -> None:
        super().__init__()
        self.hidden_size, self.num_tokens, self.scale = hidden_size, num_tokens, scale
        self.attention_op = attention_op
        self.to_k_ip = nn.ModuleList([nn.Linear(hidden_size, hidden_size, bias=False)])

    def forward(self, attn: Any, x: torch.Tensor) -> torch.Tensor:
        return attention(attn, x, attn.scale) + self.scale * self.to_k_ip[0](x)


class IPAdapterAttnProcessor2_0(nn.Module):  # noqa: N801
    def __init__(self, hidden_size: int, num_tokens: int = 4, scale: float = 1.0) -> None:
        super().__init__()
        self.hidden_size, self.num_tokens, self.scale = hidden_size, num_tokens, scale
        self.to_k_ip = nn.ModuleList([nn.Linear(hidden_size, hidden_size, bias=False)])

    def forward(self, attn: Any, x: torch.Tensor) -> torch.Tensor:
        return attention(attn, x, None) + self.scale * self.to_k_ip[0](x)


class CustomDiffusionXFormersAttnProcessor(nn.Module):
    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.to_k_custom_diffusion = nn.Linear(hidden_size, hidden_size)


class CustomDiffusionAttnProcessor2_0(nn.Module):  # noqa: N801
    def __init__(self, hidden_size: int) -> None:
        super().__init__()


class Backend(str, enum.Enum):
    NATIVE = "native"
    XFORMERS = "xformers"


class DispatchedProcessor:
    _attention_backend: Backend | None = None

    def __call__(self, attn: Any, x: torch.Tensor) -> torch.Tensor:
        return attention(attn, x, None)


class Attention(nn.Module):
    """As much of diffusers' `Attention` as a processor needs, its `set_processor` among it."""

    def __init__(self, processor: Any, *, scale_qk: bool = True) -> None:
        super().__init__()
        self.heads, self.scale_qk = 2, scale_qk
        self.scale = 8**-0.5 if scale_qk else 1.0
        self.norm_q: nn.Module | None = None
        self.to_q, self.to_k, self.to_v = (nn.Linear(16, 16) for _ in range(3))
        self.set_processor(processor)

    def set_processor(self, processor: Any) -> None:
        if isinstance(getattr(self, "processor", None), nn.Module) and not isinstance(processor, nn.Module):
            self._modules.pop("processor")
        self.processor = processor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.processor(self, x)
        return out


def unet(*processors: Any) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(Attention(processor) for processor in processors))


X = torch.linspace(-1, 1, 2 * 5 * 16).view(2, 5, 16)


def test_processors_are_swapped_and_compute_the_same_then_put_back() -> None:
    old = [XFormersAttnProcessor(), IPAdapterXFormersAttnProcessor(16, scale=0.5), XFormersJointAttnProcessor()]
    model = unet(*old)
    before = model(X)
    names = {name for name, _ in model.named_parameters()}
    with h200.applied(model, quiet=True):
        kinds = [type(layer.processor).__name__ for layer in model]
        assert kinds == ["AttnProcessor2_0", "IPAdapterAttnProcessor2_0", "JointAttnProcessor2_0"]
        assert torch.allclose(model(X), before, atol=1e-6)
        assert model[1].processor.scale == 0.5
        assert model[1].processor.to_k_ip is old[1].to_k_ip, "its own layers, not copies"  # type: ignore[union-attr]
        assert {name for name, _ in model.named_parameters()} == names
    assert [layer.processor for layer in model] == old
    assert torch.equal(model(X), before)


def test_swapping_needs_no_gpu_and_is_told_once_a_kind(capsys: pytest.CaptureFixture[str]) -> None:
    h200.apply(unet(XFormersAttnProcessor(), XFormersAttnProcessor()))
    lines = capsys.readouterr().out.splitlines()
    assert lines.count("xf2sdpa.h200: XFormersAttnProcessor -> AttnProcessor2_0") == 1


def test_a_pipeline_of_models() -> None:
    class Pipeline:
        def __init__(self) -> None:
            self.components = {"unet": unet(XFormersAttnProcessor()), "tokenizer": object(), "vae": None}

    pipeline = Pipeline()
    assert h200.apply(pipeline, quiet=True) is pipeline
    assert isinstance(pipeline.components["unet"][0].processor, AttnProcessor2_0)  # type: ignore[index]


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: Attention(XFormersAttnProcessor(), scale_qk=False), "its scale is not 1/sqrt(head size)"),
        (lambda: with_norm(Attention(XFormersAttnProcessor())), "would apply norm_q and norm_k"),
        (lambda: Attention(XFormersAttnAddedKVProcessor()), "has no AttnAddedKVProcessor2_0"),
        (lambda: Attention(CustomDiffusionXFormersAttnProcessor(16)), "needs 'hidden_size', which it does not have"),
        (lambda: Attention(with_size(CustomDiffusionXFormersAttnProcessor(16))), "has other weights"),
    ],
)
def test_one_that_would_compute_something_else_is_left(layer: Any, reason: str) -> None:
    module = layer()
    old = module.processor
    done = h200._apply(module, quiet=True)
    assert module.processor is old
    assert any(reason in line for line in done.said), done.said


def with_norm(module: Attention) -> Attention:
    module.norm_q = nn.LayerNorm(8)
    return module


def with_size(processor: Any) -> Any:
    processor.hidden_size = 16
    return processor


def test_a_module_without_a_setter() -> None:
    model = nn.Module()
    model.processor = IPAdapterXFormersAttnProcessor(16)
    model.inner = nn.Linear(2, 2)
    with h200.applied(model, quiet=True):
        assert type(model.processor).__name__ == "IPAdapterAttnProcessor2_0"
    assert type(model.processor).__name__ == "IPAdapterXFormersAttnProcessor"


def test_a_backend_that_was_set_to_xformers_becomes_native() -> None:
    processor = DispatchedProcessor()
    processor._attention_backend = Backend.XFORMERS
    with h200.applied(unet(processor), quiet=True):
        assert processor._attention_backend is Backend.NATIVE
    assert processor._attention_backend is Backend.XFORMERS


def test_other_processors_and_plain_models_are_left() -> None:
    processor = AttnProcessor2_0()
    model = unet(processor)
    h200.apply(model, quiet=True)
    assert model[0].processor is processor
    assert h200.apply(nn.Linear(2, 2), quiet=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_real_hopper_float32_matmuls_get_tf32_and_lose_it_again() -> None:
    if torch.cuda.get_device_capability() != h200.HOPPER:
        pytest.skip("needs a Hopper GPU")
    torch.manual_seed(0)
    a, b = (torch.randn(512, 512, device="cuda") for _ in range(2))
    exact = (a.double() @ b.double()).float()

    def error() -> float:
        return float((a @ b - exact).abs().max())

    plain = error()
    with h200.applied(nn.Linear(4, 4).cuda(), quiet=True):
        rounded = error()
    with h200.apply(quiet=True):
        assert error() == plain, "no model, no reason"
    assert rounded > 10 * plain
    assert error() == plain
