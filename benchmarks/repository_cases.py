"""The modules of real repositories that `run_repositories.py` runs: how each is made, and on what it is run.

A new case is a function that makes the module and says how to run it, and a line in `CASES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Forward = Callable[[torch.dtype], Sequence[Tensor]]
"""Runs the module on inputs of that dtype; what comes back is summed and differentiated."""
MODES = {"float64": torch.float64, "autocast": torch.float32}


@dataclass(frozen=True)
class Case:
    """One module of one repository. `build` makes it, and says how to run it.

    `tolerance` is that in float64: more where the module goes through float32 on its way, and rounds there.
    """

    name: str
    repository: str
    what: str
    build: Callable[[], tuple[nn.Module, Forward]]
    root: str = "."
    stubs: tuple[str, ...] = ()
    modes: tuple[str, ...] = tuple(MODES)
    tolerance: float = 1e-9


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
    """Fine-tuning: features of inner layers, and of the last.

    No list of crops: nothing in the repository gives one, and the rewrite says so by an assumption that it checks.
    """
    model = part("depth_anything_v2.dinov2", "DinoVisionTransformer")(
        img_size=28, patch_size=7, embed_dim=48, depth=3, num_heads=4, ffn_layer="swiglufused", init_values=0.5,
        block_chunks=0, block_fn=nested_block("depth_anything_v2.dinov2_layers"),
    )  # fmt: skip

    def forward(dtype: torch.dtype) -> list[Tensor]:
        layers = model.get_intermediate_layers(noise(2, 3, 28, 35, dtype=dtype), [0, 2], return_class_token=True)
        return [
            *(x for pair in layers for x in pair),
            model.forward_features(noise(2, 3, 28, 28, dtype=dtype))["x_prenorm"],
        ]

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
    Case("depth-anything", "DepthAnything+Depth-Anything-V2", "DINOv2 ViT, inner layers", depth_anything),
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
