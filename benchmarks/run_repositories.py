"""Import and run modules of real repositories: before the rewrite on the reference, after it without xformers.

    python benchmarks/run_repositories.py CORPUS [--only NAME …] [--keep FOLDER] [--json FILE]

CORPUS is a git work tree with one folder a repository, `OWNER+NAME/path`; its last commit is read, nothing is written.
For each case the repository is laid out twice, one copy goes through `xf2sdpa rewrite`, and in processes of their own

* `before`: the old modules run with tests/oracle.py in place of xformers' kernels (its mask classes are the real ones),
* `after`: the new modules run where neither xformers nor mslk can be imported,

with one seed, one set of weights (the state dict of `before` is loaded strictly) and one set of inputs, forward and
backward; in float64, and in float32 under autocast to bfloat16. The exit status is 1 unless

* `before` called xformers' attention, and `after` calls SDPA as often or more often, and has no module of xformers,
* in float64 all outputs and all gradients agree to 1e-9 of their norm,
* under autocast they are no farther from `before`'s float64 than twice what `before`'s own are, plus 1 % of the norm.

The modules are the repository's own. Of what they import besides torch, small packages must be installed: timm,
einops, omegaconf, pydantic, huggingface_hub < 1, Pillow. What the modules run here import and do not use (see
`Case.stubs`) is played by empty modules.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.machinery
import importlib.metadata
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
SEED = 20
Forward = Callable[[torch.dtype], Sequence[Tensor]]
"""Runs the module on inputs of that dtype; what comes back is summed and differentiated."""
MODES = {"float64": torch.float64, "autocast": torch.float32}
SMALL = {"float64": 1e-6, "autocast": 1e-3}


@dataclass(frozen=True)
class Case:
    """One module of one repository. `build` makes it, and says how to run it."""

    name: str
    repository: str
    what: str
    build: Callable[[], tuple[nn.Module, Forward]]
    root: str = "."
    stubs: tuple[str, ...] = ()
    modes: tuple[str, ...] = tuple(MODES)


# ---------------------------------------------------------------------------------------------------- the cases


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Inputs, equal in every dtype up to rounding."""
    return torch.randn(*shape, dtype=torch.float64).to(dtype)


def part(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def nested_block(package: str) -> Any:
    """DINOv2's block for lists of tensors, as its factories make it."""
    return partial(part(package, "NestedTensorBlock"), attn_class=part(package, "MemEffAttention"))


def dino_nested() -> tuple[nn.Module, Forward]:
    """Training: crops of three sizes in one packed sequence, stochastic depth, SwiGLU, layer scale, mask cache."""
    model = part("dinov2.models.vision_transformer", "DinoVisionTransformer3d")(
        img_size=16, patch_size=4, in_chans=1, embed_dim=48, depth=3, num_heads=4, ffn_layer="swiglufused",
        init_values=0.5, drop_path_rate=0.4, drop_path_uniform=True, block_chunks=0,
        block_fn=nested_block("dinov2.layers"),
    )  # fmt: skip
    sizes = ((4, 16), (6, 8), (3, 12))

    def forward(dtype: torch.dtype) -> list[Tensor]:
        crops = [noise(count, 1, size, size, size, dtype=dtype) for count, size in sizes]
        outs = model(crops, masks=[None] * len(crops), is_training=True)
        return [out[key] for out in outs for key in ("x_norm_clstoken", "x_norm_patchtokens")]

    return model.train(), forward


def depth_anything() -> tuple[nn.Module, Forward]:
    """Fine-tuning: images of one size and then a list of crops, features of inner layers."""
    model = part("depth_anything_v2.dinov2", "DinoVisionTransformer")(
        img_size=28, patch_size=7, embed_dim=48, depth=3, num_heads=4, ffn_layer="swiglufused", init_values=0.5,
        block_chunks=0, block_fn=nested_block("depth_anything_v2.dinov2_layers"),
    )  # fmt: skip

    def forward(dtype: torch.dtype) -> list[Tensor]:
        layers = model.get_intermediate_layers(noise(2, 3, 28, 35, dtype=dtype), [0, 2], return_class_token=True)
        crops = [noise(2, 3, 28, 28, dtype=dtype), noise(3, 3, 14, 21, dtype=dtype)]
        nested = model.forward_features(crops, [None, None])
        return [x for pair in layers for x in pair] + [out["x_prenorm"] for out in nested]

    return model.train(), forward


def stable_diffusion_unet() -> tuple[nn.Module, Forward]:
    """Latent diffusion: self- and cross-attention in the 3-D form, under gradient checkpointing."""
    model = part("ldm.modules.diffusionmodules.openaimodel", "UNetModelDualcondV2")(
        image_size=8, in_channels=4, model_channels=32, out_channels=4, num_res_blocks=1, attention_resolutions=[1, 2],
        channel_mult=(1, 2), num_head_channels=16, use_spatial_transformer=True, context_dim=24,
        use_linear_in_transformer=True, semb_channels=32,
    )  # fmt: skip

    def forward(dtype: torch.dtype) -> list[Tensor]:
        x, context, structure = (noise(*s, dtype=dtype) for s in ((2, 4, 8, 8), (2, 7, 24), (2, 32, 8, 8)))
        levels = {str(size): F.interpolate(structure, size) for size in (8, 4)}
        return [model(x, timesteps=torch.tensor([3, 700]), context=context, struct_cond=levels)]

    return model, of_any_dtype(model, forward)


def of_any_dtype(model: Any, forward: Forward) -> Forward:
    """For UNets that know float16 and float32 only: norms too; and whose checkpointing knows CUDA's autocast only."""

    def run(dtype: torch.dtype) -> Sequence[Tensor]:
        model.dtype = dtype
        hook = model.time_embed.register_forward_pre_hook(lambda _, inputs: tuple(x.to(dtype) for x in inputs))
        for module in model.modules():
            if hasattr(module, "checkpoint"):
                module.checkpoint = dtype is torch.float64
            if isinstance(module, nn.GroupNorm) and dtype is torch.float64:
                module.__dict__["forward"] = partial(nn.GroupNorm.forward, module)
        with hook:
            return forward(dtype)

    return run


def sgm_blocks() -> tuple[nn.Module, Forward]:
    """Generative models: a stack of transformer blocks of the UNet, and the decoder of its VAE."""
    unet = part("sgm.modules.attention", "SpatialTransformer")(
        in_channels=32, n_heads=4, d_head=8, depth=2, context_dim=[24, 24], use_linear=True,
        attn_type="softmax-xformers", use_checkpoint=False,
    )  # fmt: skip
    vae = part("sgm.modules.diffusionmodules.model", "Decoder")(
        ch=32, out_ch=3, ch_mult=(1, 2), num_res_blocks=1, attn_resolutions=[8], in_channels=3, resolution=16,
        z_channels=4, attn_type="vanilla-xformers",
    )  # fmt: skip
    model = nn.ModuleDict({"unet": unet, "vae": vae})

    def forward(dtype: torch.dtype) -> list[Tensor]:
        x, context = noise(2, 32, 6, 6, dtype=dtype), noise(2, 7, 24, dtype=dtype)
        return [unet(x, context), vae(noise(2, 4, 8, 8, dtype=dtype))]

    return model, forward


def video_unet() -> tuple[nn.Module, Forward]:
    """Text and image to video: spatial attention by xformers, twice a block, temporal attention written out."""
    model = part("lvdm.modules.networks.openaimodel3d", "UNetModel")(
        in_channels=4, model_channels=32, out_channels=4, num_res_blocks=1, attention_resolutions=[1, 2],
        channel_mult=(1, 2), num_head_channels=16, context_dim=24, use_linear=True, temporal_conv=True,
        temporal_length=4, use_relative_position=False, use_image_attention=True, addition_attention=False,
    )  # fmt: skip

    def forward(dtype: torch.dtype) -> list[Tensor]:
        x, context = noise(2, 4, 4, 8, 8, dtype=dtype), noise(2, 77 + 16, 24, dtype=dtype)
        return [model(x, torch.tensor([3, 700]), context=context)]

    return model, of_any_dtype(model, forward)


def pixart() -> tuple[nn.Module, Forward]:
    """Text to image: captions of different lengths as a block-diagonal mask of unequal queries and keys."""
    model = part("diffusion.model.nets", "PixArt")(
        input_size=8, patch_size=2, in_channels=4, hidden_size=48, depth=2, num_heads=4, caption_channels=24,
        model_max_length=12, class_dropout_prob=0.0,
    )  # fmt: skip

    def forward(dtype: torch.dtype) -> list[Tensor]:
        x, captions = noise(3, 4, 8, 8, dtype=dtype), noise(3, 1, 12, 24, dtype=dtype)
        mask = (torch.arange(12) < torch.tensor([[12], [5], [1]])).long()
        times = torch.tensor([3, 40, 700])
        return [model(x, times, captions, mask[:, None, None]), model(x, times, captions)]

    return model, forward


def byte_latent() -> tuple[nn.Module, Forward]:
    """An LLM on bytes: documents packed with a causal mask each, then a plain causal mask, then a window."""
    arguments = part("bytelatent.transformer", "LMTransformerArgs")
    options = arguments(
        dim=48, n_layers=2, n_heads=4, n_kv_heads=2, vocab_size=64, max_seqlen=32, attn_impl="xformers",
        attn_bias_type="local_block_causal", sliding_window=5, eos_id=2,
    )  # fmt: skip
    model = part("bytelatent.transformer", "LMTransformer")(options)
    model.init_weights()
    masks = part("bytelatent.model.utils", "create_causal_mask")

    def forward(_: torch.dtype) -> list[Tensor]:
        tokens = torch.randint(3, 64, (2, 24))
        tokens[0, [4, 15]] = tokens[1, 9] = 2
        others = [("block_causal", None), ("causal", None), (None, None), ("local", 6)]
        outs = [model(tokens.clone())]
        for kind, window in others:
            mask = masks(24, "xformers", kind, eos_id=2, tokens=tokens.clone(), sliding_window=window)
            outs.append(model(tokens, mask=mask))
        return outs

    return model, forward


def byte_latent_local() -> tuple[nn.Module, Forward]:
    """The local encoder of the same, whose window is cut at the ends of documents."""
    arguments = part("bytelatent.model.local_models", "LocalModelArgs")(
        dim=48, n_layers=2, n_heads=4, max_seqlen=32, dropout=0.1, vocab_size=64, patch_size=4, sliding_window=5,
        use_rope=True, cross_attn_encoder=False, cross_attn_decoder=False, cross_attn_k=None, cross_attn_nheads=None,
        cross_attn_init_by_pooling=False, patching_mode="static", use_local_encoder_transformer=True,
        downsampling_by_pooling=None, dim_token_emb=48, dim_patch_emb=None, eos_id=2,
    )  # fmt: skip
    model = part("bytelatent.model.local_models", "LocalEncoder")(arguments)

    def forward(_: torch.dtype) -> list[Tensor]:
        tokens = torch.randint(3, 64, (3, 20))
        tokens[0, 4] = tokens[2, 11] = 2
        return [model(tokens)[0][0]]

    return model.train(), forward


def eva_clip() -> tuple[nn.Module, Forward]:
    """CLIP: an image tower with rotary embeddings and attention dropout, a text tower with a causal mask."""
    eva, text = (importlib.import_module(f"eva_clip.{name}") for name in ("eva_vit_model", "transformer"))
    image_tower = eva.EVAVisionTransformer(
        img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=4, num_classes=24, qkv_bias=True, rope=True,
        xattn=True, subln=True, naiveswiglu=True, attn_drop_rate=0.2, init_values=0.5, pt_hw_seq_len=4,
    )  # fmt: skip
    text_tower = text.TextTransformer(
        context_length=11, vocab_size=64, width=48, heads=4, layers=2, output_dim=24, xattn=True
    )
    model = nn.ModuleDict({"image": image_tower, "text": text_tower})

    def forward(dtype: torch.dtype) -> list[Tensor]:
        tokens = torch.randint(1, 60, (3, 11))
        tokens[torch.arange(3), torch.tensor([10, 4, 7])] = 63
        return [model["image"](noise(3, 3, 32, 32, dtype=dtype)), model["text"](tokens)]

    return model.train(), forward


CASES = (
    Case("dino-nested", "jbanusco+3D-DINO", "DINOv2 ViT, nested tensors", dino_nested),
    Case("depth-anything", "DepthAnything+Depth-Anything-V2", "DINOv2 ViT, layers and crops", depth_anything),
    Case(
        "ldm-unet", "IceClear+StableSR", "latent-diffusion UNet", stable_diffusion_unet,
        stubs=("basicsr", "torchvision", "taming", "pytorch_lightning"),
    ),
    Case(
        "sgm", "Fanghua-Yu+SUPIR", "latent diffusion, blocks and VAE", sgm_blocks,
        stubs=(
            "pytorch_lightning", "open_clip", "kornia", "transformers", "torchvision", "clip", "k_diffusion", "scipy",
        ),
    ),
    Case(
        "video-unet", "AILab-CVC+VideoCrafter", "video UNet", video_unet,
        stubs=("pytorch_lightning", "kornia", "cv2"),
    ),
    Case(
        "pixart", "PixArt-alpha+PixArt-alpha", "text-to-image transformer", pixart,
        stubs=("mmcv", "torchvision", "diffusers", "transformers", "bs4", "ftfy"),
    ),
    Case("blt", "facebookresearch+blt", "LLM on bytes", byte_latent),
    Case("blt-local", "facebookresearch+blt", "LLM on bytes, local encoder", byte_latent_local),
    Case(
        "eva-clip", "baaivision+EVA", "EVA-CLIP, both towers", eva_clip, root="EVA-CLIP/rei",
        stubs=("torchvision", "eva_clip.tokenizer"),),
)  # fmt: skip


# ------------------------------------------------------------------------------------- one side, in its own process


class Anything(type):
    """Classes that have every attribute and can be called or used as a decorator: what an empty module holds."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = placeholder(name)
        setattr(cls, name, value)
        return value


def placeholder(name: str) -> Any:
    return Anything(name, (), {"__init__": decorator, "__getattr__": lambda *_: decorator})


def decorator(*arguments: Any, **options: Any) -> Any:
    """`register` and `register(name)` alike leave what they decorate as it is; an `__init__` that takes anything."""
    if arguments and isinstance(type(arguments[0]), Anything):
        return None
    return arguments[0] if len(arguments) == 1 and callable(arguments[0]) and not options else lambda what: what


class EmptyModule(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = placeholder(name)
        setattr(self, name, value)
        return value


class Stubs:
    """A finder that plays packages, whatever submodules are asked for."""

    def __init__(self, roots: Sequence[str]) -> None:
        self.roots = roots

    def find_spec(self, name: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        mine = any(f"{name}.".startswith(f"{root}.") for root in self.roots)
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if mine else None  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return EmptyModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


@contextlib.contextmanager
def surroundings(side: str) -> Iterator[Callable[[], int]]:
    """xformers as the reference, or gone; yields what counts the calls of its attention."""
    from tests import oracle  # noqa: PLC0415 - it imports the real xformers, which `after` must not have
    from tests.projects import harness  # noqa: PLC0415

    if side == "before":
        with harness.installed() as calls:
            yield lambda: calls.count
    else:
        with oracle.absent(), mock.patch.object(importlib.metadata.Distribution, "from_name", staticmethod(installed)):
            yield lambda: 0


def installed(name: str) -> importlib.metadata.Distribution:
    """The distribution of that name; `oracle.absent` raises StopIteration for one that is missing anyway."""
    found = next(iter(importlib.metadata.Distribution.discover(name=name)), None)
    if found is None or name.lower() in {"xformers", "mslk"}:
        raise importlib.metadata.PackageNotFoundError(name)
    return found


def child(case: Case, side: str, mode: str, folder: Path, state: Path) -> dict[str, Any]:
    """Build the module, run it forward and backward, and say what was seen."""
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [str(folder / case.root), *(entry for entry in sys.path if entry != here), str(ROOT)]
    sys.meta_path.insert(0, Stubs(case.stubs))
    torch.set_num_threads(1)
    spy = mock.Mock(wraps=F.scaled_dot_product_attention)
    with surroundings(side) as calls, mock.patch.object(F, "scaled_dot_product_attention", spy):
        torch.manual_seed(SEED)
        model, forward = case.build()
        weigh(model, MODES[mode], state)
        torch.manual_seed(SEED)
        with torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"):
            outputs = [out.double() for out in forward(MODES[mode])]
        torch.autograd.backward(torch.stack([out.square().mean() for out in outputs]).sum())
        modules = {name: module for name, module in sys.modules.items() if module is not None}
        return {
            "outputs": [out.detach() for out in outputs],
            "gradients": {n: p.grad.double() for n, p in model.named_parameters() if p.grad is not None},
            "xformers_calls": calls(),
            "sdpa_calls": spy.call_count,
            "helper": any(name.endswith("_attention_compat") for name in modules),
            "left": sorted(name for name in modules if name.partition(".")[0] in ("xformers", "mslk")),
        }


def weigh(model: nn.Module, dtype: torch.dtype, state: Path) -> None:
    """Give the module its weights: made once, none of them zero, and loaded by all others."""
    model.to(torch.float64)
    if state.exists():
        model.load_state_dict(torch.load(state), strict=True)
    else:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        torch.save(model.state_dict(), state)
    model.to(dtype)


# ----------------------------------------------------------------------------------------------------- both sides


def lay_out(corpus: Path, case: Case, folder: Path) -> None:
    """The repository as it is in the corpus' last commit."""
    command = ["git", "-C", str(corpus), "archive", "HEAD", case.repository]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            archive.extractall(folder, filter="data")
    if process.returncode:
        raise SystemExit(f"{case.repository} is not in the last commit of {corpus}")


def rewritten(folder: Path) -> dict[str, int]:
    """Rewrite a repository by the command; how many sites of each class."""
    command = [sys.executable, "-m", "xf2sdpa", "rewrite", "--output-format", "json", str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode not in {0, 2}:  # 2: some file does not parse, the others are done
        raise SystemExit(result.stderr)
    return {name: count for name, count in json.loads(result.stdout)["totals"].items() if isinstance(count, int)}


def execute(case: Case, side: str, mode: str, folder: Path, state: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "result.pt")
        names = [case.name, side, mode, str(folder), str(state), str(out)]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
        environment.pop("XFORMERS_DISABLED", None)
        result = subprocess.run(
            [sys.executable, __file__, "--child", *names], cwd=scratch, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if result.returncode or not out.exists():
            return {"failure": " / ".join(result.stderr.strip().splitlines()[-3:])}
        seen: dict[str, Any] = torch.load(out)
        return seen


def tensors(seen: dict[str, Any]) -> dict[str, Tensor]:
    return {**{f"output {i}": out for i, out in enumerate(seen["outputs"])}, **seen["gradients"]}


def distances(one: dict[str, Tensor], other: dict[str, Tensor], mode: str) -> dict[str, float]:
    """How far apart the tensors are, in parts of the other's norm.

    Or of a small part of the largest norm, if that is more: the gradient of a bias before a normalisation, or of a
    key's bias, is 0 but for rounding.
    """
    floor = SMALL[mode] * max(float(tensor.norm()) for tensor in other.values())
    return {
        name: float((one[name] - tensor).norm()) / max(float(tensor.norm()), floor) if name in one else float("inf")
        for name, tensor in other.items()
    }


def faults(before: dict[str, Any], after: dict[str, Any], exact: dict[str, Any], mode: str) -> list[str]:
    """What is wrong with a pair of runs; `exact` is what `before` gives in float64."""
    for side, seen in (("before", before), ("after", after), ("before in float64", exact)):
        if "failure" in seen:
            return [f"{side} failed: {seen['failure']}"]
    found = []
    if not before["xformers_calls"]:
        found.append("before: xformers' attention was never called")
    if after["sdpa_calls"] < before["xformers_calls"] + before["sdpa_calls"]:
        found.append(f"after: SDPA called {after['sdpa_calls']} times only")
    if after["left"]:
        found.append(f"after: imported {', '.join(after['left'])}")
    old, new, truth = tensors(before), tensors(after), tensors(exact)
    if old.keys() != new.keys():
        found.append(f"other tensors: {sorted(old.keys() ^ new.keys())}")
    allowed = dict.fromkeys(old, 1e-9)
    if mode == "autocast":
        allowed = {name: 2 * error + 0.01 for name, error in distances(old, truth, mode).items()}
    apart = distances(new, truth if mode == "autocast" else old, mode)
    return found + [f"{name}: {apart[name]:.1e} apart" for name in old if not apart[name] <= allowed[name]]


def run_case(case: Case, corpus: Path, folder: Path) -> dict[str, Any]:
    """Both sides in all modes; a line for each mode is printed."""
    for side in ("before", "after"):
        lay_out(corpus, case, folder / side)
    report: dict[str, Any] = {"repository": case.repository, "what": case.what}
    report["sites"] = rewritten(folder / "after" / case.repository)
    exact: dict[str, Any] = {}
    for mode in case.modes:
        before, after = (
            execute(case, side, mode, folder / side / case.repository, folder / "state.pt")
            for side in ("before", "after")
        )
        exact = exact or before
        wrong = faults(before, after, exact, mode)
        report[mode] = {"faults": wrong} if wrong else summary(before, after, mode)
        print(f"{case.name:15} {mode:9} {'; '.join(wrong) if wrong else in_words(report[mode])}", flush=True)
    return report


def summary(before: dict[str, Any], after: dict[str, Any], mode: str) -> dict[str, Any]:
    apart = distances(tensors(after), tensors(before), mode)
    return {
        "faults": [],
        "outputs": len(before["outputs"]),
        "gradients": len(before["gradients"]),
        "xformers_calls_before": before["xformers_calls"],
        "sdpa_calls_after": after["sdpa_calls"],
        "helper": after["helper"],
        "largest_distance": max(apart.values()),
    }


def in_words(numbers: dict[str, Any]) -> str:
    return (
        f"ok: {numbers['outputs']} outputs and {numbers['gradients']} gradients within "
        f"{numbers['largest_distance']:.1e}; {numbers['xformers_calls_before']} calls of xformers before, "
        f"{numbers['sdpa_calls_after']} of SDPA after{', helper module used' if numbers['helper'] else ''}"
    )


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        name, side, mode, folder, state, out = sys.argv[2:]
        case = next(case for case in CASES if case.name == name)
        warnings.simplefilter("ignore")
        torch.save(child(case, side, mode, Path(folder), Path(state)), out)
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--only", nargs="*", choices=[case.name for case in CASES], help="run these cases")
    parser.add_argument("--keep", type=Path, help="lay the repositories out in this folder, and leave them there")
    parser.add_argument("--json", type=Path, help="write the figures into this file")
    options = parser.parse_args()
    reports = {}
    with tempfile.TemporaryDirectory() as scratch:
        for case in CASES:
            if not options.only or case.name in options.only:
                place = Path(options.keep or scratch, case.name)
                place.mkdir(parents=True)
                reports[case.name] = run_case(case, options.corpus, place)
    if options.json:
        options.json.write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
    bad = [name for name, report in reports.items() if any(report[mode]["faults"] for mode in MODES if mode in report)]
    print(f"{len(reports) - len(bad)} of {len(reports)} cases agree" + (f"; not: {', '.join(bad)}" if bad else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
