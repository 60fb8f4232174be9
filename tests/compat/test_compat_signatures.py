"""What kernels.py passes by name, bound to the signatures that torch's own wheels have, 2.3 to 2.15.

`varlen_signatures.json` is made by `benchmarks/varlen_signatures.py`. Both branches were run on a GPU with torch 2.11
only; all other versions are signature only, not run on a GPU.
"""

import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from xf2sdpa.compat import kernels
from xf2sdpa.compat.kernels import _Band

VERSIONS = json.loads(Path(__file__).with_name("varlen_signatures.json").read_text("utf-8"))
RUN_ON_A_GPU = {"2.11"}
FULL, CAUSAL, WINDOW = _Band(), _Band(right=0), _Band(left=3, right=0)
CALLS = [(band, scale, groups) for band in (FULL, CAUSAL, WINDOW) for scale in (None, 0.5) for groups in (1, 2)]


def name(version):
    return version if version in RUN_ON_A_GPU else f"{version} (signature only, not run on a GPU)"


def signature(parameters):
    return inspect.signature(eval(f"lambda {parameters}: None"))


def arguments(schema):
    return torch._C.parse_schema(f"aten::{schema}").arguments


def from_torch(oldest):
    """The versions from this one on: each as its number and what its wheel says."""
    known = [(tuple(int(part) for part in version.split(".")), version) for version in VERSIONS]
    chosen = [pytest.param(number, VERSIONS[text], id=name(text)) for number, text in known if number >= oldest]
    return pytest.mark.parametrize(("number", "entry"), chosen)


@pytest.fixture
def pack(monkeypatch):
    """Calls `_flash` as on a GPU whose torch has these two functions; gives what they were called with."""
    calls = []

    def recorder(parameters):
        def function(*positional, **named):
            calls.append(parameters.bind(*positional, **named))
            return calls[-1].args

        return function

    def run(varlen, operator, *call):
        band, scale, groups = call
        if varlen is not None:
            monkeypatch.setattr(kernels, "_varlen_attn", recorder(varlen))
            monkeypatch.setattr(kernels, "_TORCH", (2, 14))
        monkeypatch.setattr(kernels, "_flash_operator", lambda: operator and recorder(operator))
        q, k = torch.randn(7, 2, 8), torch.randn(7, 2 // groups, 8)
        starts = torch.tensor([0, 3, 7], dtype=torch.int32)
        kernels._flash(q, k, k, (starts, starts, 4, 4), band, 0.0, scale)
        return calls[-1].arguments if calls else None

    monkeypatch.setattr(kernels, "_fits_flash", lambda q, k, v: True)
    return run


def operator_signature(entry):
    kinds = {True: inspect.Parameter.KEYWORD_ONLY, False: inspect.Parameter.POSITIONAL_OR_KEYWORD}
    parameters = [
        inspect.Parameter(x.name, kinds[x.kwarg_only], default=x.default_value if x.kwarg_only else inspect._empty)
        for x in arguments(entry["operator"])
    ]
    return inspect.Signature(parameters)


@pytest.fixture
def recognised(monkeypatch):
    """Whether `_flash_operator` takes an operator of that schema."""

    def run(entry):
        schema = SimpleNamespace(arguments=arguments(entry["operator"]))
        operator = SimpleNamespace(default=SimpleNamespace(_schema=schema))
        monkeypatch.setattr(torch.ops.aten, "_flash_attention_forward", operator, raising=False)
        return kernels._flash_operator.__wrapped__() is operator

    return run


@from_torch((2, 3))
def test_which_versions_have_which_function(number, entry, recognised):
    assert (entry["varlen_attn"] is not None) == (number >= (2, 10))
    assert recognised(entry) == (number >= (2, 4)), "windows came with 2.4; before it, a mask"


@from_torch((2, 4))
@pytest.mark.parametrize("call", CALLS)
def test_the_operator_takes_what_we_pass(number, entry, call, pack):
    passed = pack(None, operator_signature(entry), *call)
    band, scale, _ = call
    assert (passed["window_size_left"], passed["window_size_right"]) == (band.left, band.right)
    assert (passed["scale"], passed["dropout_p"], passed["is_causal"]) == (scale, 0.0, False)
    assert (passed["max_q"], passed["max_k"], passed["return_debug_mask"]) == (4, 4, False)
    assert passed["cum_seq_q"].tolist() == passed["cum_seq_k"].tolist() == [0, 3, 7]
    assert passed["key"].shape == passed["query"].shape, "the operator's gradient wants equal heads"
    types = {x.name: str(x.type) for x in arguments(entry["operator"])}
    assert {types[x] for x in ("window_size_left", "window_size_right")} == {"Optional[int]"}
    assert {types[x] for x in ("cum_seq_q", "cum_seq_k")} == {"Optional[Tensor]"}


@from_torch((2, 4))
def test_the_gradient_sees_the_same_window(number, entry):
    assert entry["backward"].endswith(", scale, window_size_left, window_size_right")


@from_torch((2, 14))
@pytest.mark.parametrize("call", CALLS)
def test_varlen_takes_what_we_pass(number, entry, call, pack):
    """The branch for a torch whose operator is not the one we know."""
    passed = pack(signature(entry["varlen_attn"]), None, *call)
    band, scale, groups = call
    assert passed["window_size"] == {FULL: (-1, -1), CAUSAL: (-1, 0), WINDOW: (3, 0)}[band]
    assert (passed["scale"], passed["enable_gqa"], passed["seqused_k"]) == (scale, groups == 2, None)
    assert passed["key"].shape[1] == passed["query"].shape[1] // groups, "not repeated"
    assert passed["cu_seq_q"].dtype == torch.int32
    assert number >= (2, 14)


@from_torch((2, 10))
def test_varlen_means_by_them_what_the_operator_means(number, entry):
    """Its window and scale go to the operator as they are, so the two branches compute the same."""
    handed_on = entry["handed_on"].split(", ")
    assert handed_on[:9] == ["query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k", "0.0", "is_causal"]
    newer = ["scale=scale", "window_size_left=window_size[0]", "window_size_right=window_size[1]"]
    assert handed_on[10:13] == (newer if number >= (2, 11) else [])


def test_the_installed_torch_is_as_recorded():
    recorded = VERSIONS.get(".".join(map(str, kernels._TORCH)))
    if recorded is None:
        pytest.skip("a version that nobody has written down: python benchmarks/varlen_signatures.py WHEEL")
    expected = recorded["varlen_attn"]
    if expected:
        from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 - torch 2.10 brings it

        assert list(inspect.signature(varlen_attn).parameters) == list(signature(expected).parameters)
    schema = torch.ops.aten._flash_attention_forward.default._schema
    assert [x.name for x in schema.arguments] == [x.name for x in arguments(recorded["operator"])]
