"""Single functions and modules of real repositories for `run_repositories.py`, whose whole models need too much to run.

Each is the repository's own text, executed where it stands: the file's statements one by one, past those that fail,
mostly imports of packages that are not installed. What a part needs of such a package is given by name: `Heads` is an
attention layer with the methods that diffusers documents, and holds no attention of its own.
"""

from __future__ import annotations
import __future__

import ast
import contextlib
import importlib.util
import os
import sys
import types
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from repository_cases import Case, Forward, noise, part
from torch import Tensor, nn

Noise = Callable[..., Tensor]
Made = tuple[nn.Module, Callable[[Noise], Tensor | Sequence[Tensor]]]
"""A module, and what runs it on inputs of the dtype asked for."""


def leniently(path: str, **given: Any) -> types.ModuleType:
    """A file below the case's root as a module, past statements that fail; `given` stands for what is not installed.

    Its packages are empty: what their `__init__` would import is no part of what runs here.
    """
    root, names = Path(sys.path[0]), Path(path).with_suffix("").parts
    for count in range(1, len(names)):
        package = types.ModuleType(".".join(names[:count]))
        package.__path__ = [str(root.joinpath(*names[:count]))]
        sys.modules[package.__name__] = package
    module = types.ModuleType(".".join(names))
    module.__package__ = ".".join(names[:-1])
    module.__file__ = str(root / path)
    vars(module).update({"is_xformers_available": is_there}, **given)
    sys.modules[module.__name__] = module
    for node in ast.parse((root / path).read_text("utf-8")).body:
        flags = __future__.annotations.compiler_flag
        code = compile(ast.Module([node], []), module.__file__, "exec", flags, dont_inherit=True)
        with contextlib.suppress(Exception):
            exec(code, vars(module))
    return module


def is_there() -> bool:
    """What these libraries' own questions answer."""
    return importlib.util.find_spec("xformers") is not None


def parts(*made: Made) -> tuple[nn.Module, Forward]:
    """All of some modules as one, run one after the other."""

    def forward(dtype: torch.dtype) -> list[Tensor]:
        outs = [run(partial(noise, dtype=dtype)) for _, run in made]
        return [out for some in outs for out in ([some] if isinstance(some, Tensor) else some)]

    return nn.ModuleList([module for module, _ in made]), forward


def plain(module: nn.Module, *shapes: tuple[int, ...]) -> Made:
    """A module that is called with tensors."""
    return module, lambda x: module(*(x(*shape) for shape in shapes))


def as_it_is(decorated: Any) -> Any:
    """In the place of a decorator that does nothing here."""
    return decorated


class Scaled(nn.Linear):
    """diffusers' layers for LoRA: they take a scale, which counts for adapters only."""

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:  # noqa: ARG002
        return super().forward(x)


class Heads(nn.Module):
    """An attention layer by the methods and attributes that diffusers documents of its `Attention`."""

    spatial_norm = None
    norm_cross = False
    cross_attention_norm = False
    residual_connection = True
    rescale_output_factor = 1.5
    forward: Any

    def __init__(self, dim: int = 24, context: int | None = None, heads: int = 3, *, groups: int = 0) -> None:
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.group_norm = nn.GroupNorm(groups, dim) if groups else None
        self.to_q, self.to_k, self.to_v = (Scaled(d, dim, bias=False) for d in (dim, context or dim, context or dim))
        self.to_out = nn.ModuleList([Scaled(dim, dim), nn.Dropout(0.0)])

    def head_to_batch_dim(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2).flatten(0, 1)

    def batch_to_head_dim(self, x: Tensor) -> Tensor:
        return x.unflatten(0, (-1, self.heads)).transpose(1, 2).flatten(2)

    def prepare_attention_mask(self, mask: Tensor | None, *_: int, out_dim: int = 3) -> Tensor | None:
        if mask is None:
            return None
        return (
            mask.repeat_interleave(self.heads, 0) if out_dim == 3 else mask.unsqueeze(1).expand(-1, self.heads, -1, -1)
        )


class Processed(nn.Module):
    """A processor of diffusers' kind with the layer that it works for."""

    def __init__(self, layer: nn.Module, processor: Any) -> None:
        super().__init__()
        self.layer, self.processor = layer, processor

    def forward(self, *arguments: Any, **options: Any) -> Tensor:
        return self.processor(self.layer, *arguments, **options)


def keys_mask(x: Noise, batch: int = 2, keys: int = 7, queries: int = 1, *, cast_up: bool = False) -> Tensor:
    """Some keys closed by a large number, as diffusers closes them; of the dtype that query and key have there."""
    mask = x(batch, queries, keys) - 10000.0 * (torch.arange(keys) > keys - 3)
    return mask.to(torch.get_autocast_dtype("cpu")) if torch.is_autocast_enabled("cpu") and not cast_up else mask


def masked(module: nn.Module, *, queries: int = 1, cast_up: bool = False) -> Made:
    """A processor with and without a mask; `queries` is 5 where it does not expand the mask itself.

    With `cast_up` it casts query and key to the dtype of its weights, whatever autocast made of them.
    """

    def run(x: Noise) -> list[Tensor]:
        mask = keys_mask(x, queries=queries, cast_up=cast_up)
        tokens, context = x(2, 5, 24), x(2, 7, 16)
        return [module(tokens, context), module(tokens, context, mask)]

    return module, run


# ------------------------------------------------------------------------------------------------ diffusers, its forks


def diffusers_processors() -> tuple[nn.Module, Forward]:
    """The library itself, imported as it is: every processor that calls xformers, with masks and without."""
    source = "diffusers.models.attention_processor"
    attention = partial(part(source, "Attention"), 24, heads=3, dim_head=8)
    custom = part(source, "CustomDiffusionXFormersAttnProcessor")
    adapter = part(source, "IPAdapterXFormersAttnProcessor")(24, 16, num_tokens=(3, 2), scale=[0.5, 0.25])
    crossed = partial(attention, cross_attention_dim=16)
    images = Processed(crossed(), adapter)

    def pictures(x: Noise) -> list[Tensor]:
        states = (x(2, 7, 16), [x(2, 3, 16), x(2, 2, 16)])
        single = (x(2, 7, 16), [x(2, 1, 3, 16), x(2, 1, 2, 16)])
        regions = [x(1, 1, 4, 4).sigmoid(), x(1, 1, 4, 4).sigmoid()]
        return [
            images(x(2, 16, 24), states),
            images(x(2, 16, 24), states, keys_mask(x)),
            images(x(2, 16, 24), single, ip_adapter_masks=regions),
        ]

    kinds = part(source, "XFormersAttnAddedKVProcessor")
    return parts(
        masked(Processed(crossed(), part(source, "XFormersAttnProcessor")())),
        masked(
            Processed(crossed(), custom(hidden_size=24, cross_attention_dim=16, train_q_out=True)),
            queries=5,
            cast_up=True,
        ),
        masked(Processed(crossed(), custom(train_kv=False)), queries=5),
        (images, pictures),
        *with_added_keys(attention, kinds),
        *face_adapters("../examples/community/pipeline_stable_diffusion_xl_instantid"),
        *face_adapters("../examples/community/pipeline_stable_diffusion_xl_instandid_img2img"),
    )


def face_adapters(path: str) -> list[Made]:
    """The processor of an example: the face's tokens stand behind those of the text."""
    made = file_beside(path).IPAttnProcessor(24, 16, scale=0.5, num_tokens=3)
    layer = Processed(Heads(24, 16), made)
    return [
        (layer, lambda x: [layer(x(2, 5, 24), x(2, 10, 16)), layer(x(2, 5, 24), x(2, 10, 16), keys_mask(x, queries=5))])
    ]


def with_added_keys(attention: Any, processor: Any) -> list[Made]:
    """The context's keys before the layer's own, and in their place: a mask fits the second only."""
    more, alone = (
        Processed(attention(added_kv_proj_dim=16, norm_num_groups=3, only_cross_attention=only), processor())
        for only in (False, True)
    )
    return [
        plain(more, (2, 24, 5), (2, 4, 16)),
        (alone, lambda x: alone(x(2, 24, 5), x(2, 5, 16), keys_mask(x, keys=5, queries=5))),
    ]


def file_beside(path: str) -> types.ModuleType:
    """A file outside the case's root, leniently."""
    root = sys.path[0]
    try:
        sys.path[0] = str(Path(root, path).parent)
        return leniently(f"{Path(path).name}.py")
    finally:
        sys.path[0] = root


def old_forks() -> tuple[nn.Module, Forward]:
    """diffusers 0.14: the processor with a mask, one with LoRA, and the block for convolutions."""
    source = leniently("diffusers/models/attention_processor.py")
    layer = partial(source.Attention, 24, cross_attention_dim=16, heads=3, dim_head=8)
    lora = source.LoRAXFormersAttnProcessor(24, 16, rank=4)
    block = leniently("diffusers/models/attention.py").AttentionBlock(24, num_head_channels=8, norm_num_groups=3)
    block._use_memory_efficient_attention_xformers = True
    return parts(
        masked(Processed(layer(), source.XFormersAttnProcessor()), queries=5),
        masked(Processed(layer(), lora), queries=5, cast_up=True),
        plain(block, (2, 24, 3, 4)),
    )


def brushnet() -> tuple[nn.Module, Forward]:
    """A fork of diffusers 0.27, and an example."""
    source = leniently(
        "diffusers/models/attention_processor.py", maybe_allow_in_graph=as_it_is, USE_PEFT_BACKEND=True,
        LoRACompatibleLinear=Scaled,
    )  # fmt: skip
    attention = partial(source.Attention, 24, heads=3, dim_head=8)
    custom = source.CustomDiffusionXFormersAttnProcessor(True, True, 24, 16)
    return parts(
        masked(Processed(attention(cross_attention_dim=16), source.XFormersAttnProcessor())),
        masked(Processed(attention(cross_attention_dim=16), custom), queries=5, cast_up=True),
        *with_added_keys(attention, source.XFormersAttnAddedKVProcessor),
        *face_adapters("../examples/community/pipeline_stable_diffusion_xl_instantid"),
    )  # fmt: skip


def wonder() -> tuple[nn.Module, Forward]:
    """Attention over several views, and over two tasks."""
    source = leniently("mvdiffusion/models/transformer_mv2d.py")
    views = Processed(Heads(), source.XFormersMVAttnProcessor())
    tasks = Processed(Heads(groups=3), source.XFormersJointAttnProcessor())

    def run(x: Noise) -> list[Tensor]:
        whole = [views(x(4, 5, 24), num_views=2, sparse_mv_attention=sparse) for sparse in (False, True)]
        mask = keys_mask(x, batch=4, keys=10).repeat_interleave(1, 0)
        single = views(x(4, 5, 24), None, keys_mask(x, batch=4, keys=5), multiview_attention=False)
        return [*whole, single, views(x(4, 5, 24), None, mask, num_views=2)]

    def joint(x: Noise) -> list[Tensor]:
        return [tasks(x(4, 5, 24)), tasks(x(4, 24, 2, 3))]

    return parts((views, run), (tasks, joint))


def hypernetwork() -> list[Made]:
    """kohya's processor, whose keys come by way of a small network."""
    source = leniently("library/hypernetwork.py")
    layer = Processed(Heads(24, 16), partial(source.xformers_forward, types.SimpleNamespace(attention_op=None)))
    return [masked(layer, queries=5)]


def tiled_vae() -> tuple[nn.Module, Forward]:
    """What takes the place of `forward` of diffusers' layer and of Stable Diffusion's; and two layers of the latter."""
    host = types.SimpleNamespace(XFORMERS_IS_AVAILABLE=is_there(), get_torch_device=lambda: "cpu")
    source = leniently("SUPIR/utils/tilevae.py", comfy=types.SimpleNamespace(model_management=host))
    layer, forward = Heads(groups=3), source.attn_forward_new_xformers
    block = leniently("sgm/modules/diffusionmodules/model.py", ops=nn).MemoryEfficientAttnBlock(32)
    cross = leniently("sgm/modules/attention.py", ops=nn).MemoryEfficientCrossAttention(24, 16, heads=3, dim_head=8)
    return parts(
        (layer, lambda x: [forward(layer, x(2, 24, 3, 4)), forward(layer, x(2, 5, 24))]),
        (block, lambda x: [source.xformer_attn_forward(block, x(2, 32, 3, 4)), block(x(2, 32, 3, 4))]),
        plain(cross, (2, 5, 24), (2, 7, 16)),
    )


def regions() -> tuple[nn.Module, Forward]:
    """A function that is handed a layer of diffusers'."""
    source, layer = leniently("cross_attention.py"), Heads(24, 16)
    return parts((layer, lambda x: source.main_forward_diffusers(layer, x(2, 5, 24), x(2, 7, 16), True)))


# ------------------------------------------------------------------------------------------------- Stable Diffusion


def crossed(kind: Any) -> Made:
    """A layer of Stable Diffusion's, for other tokens."""
    return plain(kind(24, 16, heads=3, dim_head=8), (2, 5, 24), (2, 7, 16))


def mgld() -> tuple[nn.Module, Forward]:
    """Both layers of the UNet, its older attention in both orders, and the block of the VAE."""
    attention = leniently("ldm/modules/attention.py")
    unet = leniently("ldm/modules/diffusionmodules/openaimodel.py")
    vae = leniently("ldm/modules/diffusionmodules/model.py")
    first = nn.ModuleList([nn.Conv1d(12, 72, 1), nn.Conv1d(12, 72, 1)])
    kinds = (unet.QKVAttentionLegacy(3), unet.QKVAttention(3))
    made: list[Made] = [
        (first, lambda x: [kind(into(x(2, 12, 5))) for kind, into in zip(kinds, first, strict=True)]),
        plain(vae.MemoryEfficientAttnBlock(32), (2, 32, 3, 4)),
        crossed(attention.MemoryEfficientCrossAttention),
    ]
    if hasattr(attention, "MemoryEfficientSelfAttention"):
        made.append(plain(attention.MemoryEfficientSelfAttention(24, heads=3, dim_head=8), (2, 5, 24)))
    return parts(*made)


def cogvideo() -> tuple[nn.Module, Forward]:
    """Three copies of Stable Diffusion's layers."""
    attention = [leniently(f"{place}/attention.py") for place in ("sgm/modules", "vae_modules")]
    vae = leniently("sgm/modules/diffusionmodules/model.py")
    return parts(
        *(crossed(source.MemoryEfficientCrossAttention) for source in attention),
        plain(vae.MemoryEfficientAttnBlock(32), (2, 32, 3, 4)),
    )


def as_before_0_0_21(attention: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """xformers' attention as it was when it took masks of (batch * heads, queries, keys) for 4-D inputs."""

    def attend(q: Tensor, k: Tensor, v: Tensor, attn_bias: Tensor | None = None, **more: Any) -> Tensor:
        apart = attn_bias if attn_bias is None else attn_bias.unflatten(0, (q.shape[0], q.shape[2]))
        return attention(q, k, v, apart, **more)

    return attend


def naifu() -> tuple[nn.Module, Forward]:
    """PixArt's two layers, one with a mask that is made there, and Stable Diffusion's two."""
    alpha, sigma = leniently("models/pixart/alpha.py"), leniently("models/pixart/sigma.py")
    vae = leniently("models/sgm/vae_model.py").MemoryEfficientAttnBlock(32)
    pixels = sigma.AttentionKVCompress(24, num_heads=3, sr_ratio=2, qk_norm=True)
    if hasattr(sigma, "xformers"):
        sigma.xformers.ops.memory_efficient_attention = as_before_0_0_21(sigma.xformers.ops.memory_efficient_attention)
    whole = sigma.AttentionKVCompress(24, num_heads=3)

    def run(x: Noise) -> list[Tensor]:
        mask = (torch.arange(4) < 3).expand(2, 1, 16, 4)
        return [pixels(x(2, 16, 24)), pixels(x(2, 16, 24), mask)]

    return parts(
        plain(alpha.Attention(24, num_heads=3), (2, 5, 24)),
        (pixels, run),
        plain(whole, (2, 4, 24)),
        crossed(leniently("models/sgm/attention.py").MemoryEfficientCrossAttention),
        plain(vae, (2, 32, 3, 4)),
    )


def vgen() -> tuple[nn.Module, Forward]:
    """The layer for many and for few tokens at once, the causal one, and that with LoRA."""
    source = leniently("tools/modules/unet/util.py")
    kind = source.MemoryEfficientCrossAttention
    made = [
        plain(kind(24, 4, context_dim=16, heads=3, dim_head=8), (2, 5, 24), (2, 7, 16)),
        plain(kind(24, context_dim=16, heads=3, dim_head=8), (2, 5, 24), (2, 7, 16)),
        crossed(source.MemoryEfficientCrossAttention_attemask),
    ]
    if Path(sys.path[0], "tools/modules/unet/unet_lora.py").exists():
        lora = leniently("tools/modules/unet/unet_lora.py")
        made.append(crossed(lora.MemoryEfficientCrossAttention))
    return parts(*made)


def kohya(*paths: str) -> tuple[nn.Module, Forward]:
    """UNets of their own, with a switch to xformers; and the forward that is put in the place of diffusers'."""
    made = []
    for path in paths:
        layer = leniently(path).CrossAttention(24, 16, heads=3, dim_head=8)
        made.append(with_method(layer, layer.forward_memory_efficient_xformers))
    if Path(sys.path[0], "library/hypernetwork.py").exists():
        made += hypernetwork()
        made += [put_in_place(path, "replace_vae_attn_to_xformers") for path in VAE_SCRIPTS]
    return parts(*made)


VAE_SCRIPTS = ("gen_img.py", "gen_img_diffusers.py", "sdxl_gen_img.py")


def with_method(layer: nn.Module, method: Callable[..., Tensor]) -> Made:
    """A layer that is run by another method than `forward`, for other tokens."""
    return layer, lambda x: method(x(2, 5, 24), x(2, 7, 16))


def put_in_place(path: str, function: str) -> Made:
    """What a script puts in the place of `forward` of diffusers' layer, by calling the function that does so."""
    class_of_vae = type("Attention", (Heads,), {})
    old = types.SimpleNamespace(CrossAttention=class_of_vae, AttentionBlock=class_of_vae, Attention=class_of_vae)
    models = types.SimpleNamespace(attention=old, attention_processor=old)
    diffusers = types.SimpleNamespace(models=models, __version__="0.25.0")
    given = {"diffusers": diffusers, "logger": types.SimpleNamespace(info=print)}
    getattr(leniently(path, default=lambda value, other: other if value is None else value, **given), function)()
    layer = class_of_vae(24, None if "vae" in function else 16, groups=3)
    if "vae" in function:
        return layer, lambda x: layer(x(2, 24, 3, 4))
    return layer, lambda x: layer(x(2, 5, 24), x(2, 7, 16))


def kohya_trainer() -> tuple[nn.Module, Forward]:
    """The forward that two scripts put in the place of diffusers'."""
    scripts = ("gen_img_diffusers.py", "library/train_util.py")
    return parts(*(put_in_place(path, "replace_unet_cross_attn_to_xformers") for path in scripts))


def forge() -> tuple[nn.Module, Forward]:
    """Attention over the pixels of a VAE, as a function of tensors."""
    ours = types.SimpleNamespace(
        xformers_enabled=is_there,
        force_upcast_attention_dtype=lambda: None,
        pytorch_attention_enabled=lambda: False,
    )
    source = leniently("backend/attention.py", memory_management=ours)
    first = nn.Conv2d(8, 36, 1)
    attend = source.xformers_attention_single_head_spatial
    return parts((first, lambda x: attend(*first(x(2, 8, 3, 4)).chunk(3, 1))))


def scepter() -> tuple[nn.Module, Forward]:
    """Attention of its VAE, UNets and transformers, with masks of two and three dimensions."""
    place = "scepter/modules/model/backbone"
    given = {"exists": lambda x: x is not None, "default": lambda x, other: other if x is None else x}
    unet = leniently(f"{place}/unet/unet_utils.py", find_loader=lambda _: None, **given)
    vae = leniently(f"{place}/autoencoder/ae_utils.py").MemoryEfficientAttention(32)
    joint = leniently(f"{place}/mmdit/sd3.py").attention_xformers
    kind = leniently(f"{place}/transformer/attention.py", FLASHATTN_IS_AVAILABLE=False).MultiHeadAttention
    many, other, images = (
        kind(24, 16, num_heads=3),
        unet.XFormerMultiHeadAttention(24, 16, num_heads=3),
        unet.XFormersMHA_IP,
    )
    first, pictures = nn.Linear(12, 72), images(24, 16, heads=3, dim_head=8)

    def masks(x: Noise) -> list[Tensor]:
        seen = torch.arange(7) < torch.tensor([[7], [4]])
        given = (None, seen.long(), seen.long()[:, None].expand(2, 5, 7))
        return [many.xformer_attn(x(2, 5, 24), x(2, 7, 16), mask) for mask in given]

    return parts(
        (vae, lambda x: vae.forward_ori(x(2, 32, 3, 4))),
        (first, lambda x: joint(*first(x(2, 5, 12)).chunk(3, -1), 3)),
        (many, masks),
        with_method(other, other.x_form),
        crossed(unet.MemoryEfficientCrossAttention),
        plain(pictures, (2, 5, 24), (2, 7, 16)),
        (pictures, lambda x: pictures(x(2, 5, 24), x(2, 7, 16), scale=0.5, num_img_token=3)),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------- transformers


def dino(*paths: str) -> tuple[nn.Module, Forward]:
    """DINOv2's attention, for one tensor: nothing in these repositories makes a mask that reaches it."""
    layers = [leniently(path).MemEffAttention(24, 3, qkv_bias=True) for path in paths]
    return parts(*(plain(layer, (2, 5, 24)) for layer in layers))


def views() -> tuple[nn.Module, Forward]:
    """Normalised queries and keys, with all tokens and with some of them."""
    source = leniently("model/transformer.py")
    whole = source.QK_Norm_SelfAttention(24, 8, attn_dropout=0.1)
    some = source.SubsetAttention(24, 8, use_qk_norm=True)
    return parts(
        plain(whole, (2, 5, 24)),
        (some, lambda x: [some(x(2, 5, 24)), some(x(2, 5, 24), 2), some(x(2, 5, 24), None, 3)]),
    )


def eva(*paths: str, **given: Any) -> tuple[nn.Module, Forward]:
    """EVA's attention in its files: with a bias, and with normalised inner tokens where there is such an option."""
    made = []
    for path in paths:
        kind, text = leniently(path, **given).Attention, Path(sys.path[0], path).read_text("utf-8")
        more = {"subln": True} if "subln=False" in text else {}
        made += [plain(kind(24, num_heads=3, qkv_bias=True, xattn=True, **wish), (2, 5, 24)) for wish in ({}, more)]
    return parts(*made)


def eva_asuka() -> tuple[nn.Module, Forward]:
    """EVA-02: pretraining, fine-tuning, segmentation; detection, which always turns queries and keys."""
    model, forward = eva("asuka/eva_clip/vit_model.py", "asuka/modeling_finetune.py", "seg/backbone/eva2.py")
    turned = leniently("det/detectron2/modeling/backbone/vit.py", Backbone=nn.Module, CNNBlockBase=nn.Module)
    layer = turned.Attention(24, num_heads=3, rope=nn.Identity())

    def all_of(dtype: torch.dtype) -> list[Tensor]:
        return [*forward(dtype), layer(noise(2, 3, 4, 24, dtype=dtype))]

    return nn.ModuleList([model, layer]), all_of


def clip_towers(image: str, text: str) -> tuple[nn.Module, Forward]:
    """EVA-CLIP: both towers' attention, the text's causal where a mask is given."""
    layers = leniently(text)
    model, forward = eva(image)
    own = {"Attention": layers.Attention, "CustomAttention": getattr(layers, "CustomAttention", None)}
    made = [kind(24, 3, xattn=True) for kind in own.values() if kind is not None]

    def all_of(dtype: torch.dtype) -> list[Tensor]:
        mask = torch.full((5, 5), -torch.inf).triu(1)
        x = partial(noise, dtype=dtype)
        outs = [made[0](x(5, 2, 24)), made[0](x(5, 2, 24), attn_mask=mask)]
        for layer in made[1:]:
            outs += [layer(x(5, 2, 24), x(7, 2, 24), x(7, 2, 24)), layer(*[x(5, 2, 24)] * 3, attn_mask=mask)]
        return [*forward(dtype), *outs]

    return nn.ModuleList([model, *made]), all_of


def swiss() -> tuple[nn.Module, Forward]:
    """A function of heads that come first."""
    os.environ["USE_XFORMERS"] = "1"
    source = leniently("sat/model/official/eva_clip_model.py", BaseMixin=nn.Module, BaseModel=nn.Module)
    layer, first = source.XAttn(8), nn.Linear(12, 72)

    def run(x: Noise) -> Tensor:
        heads = (t.unflatten(-1, (3, 8)).transpose(1, 2) for t in first(x(2, 5, 12)).chunk(3, -1))
        return layer.attention_fn(*heads, None)

    return parts((nn.ModuleList([layer, first]), run))


def repeat_kv(x: Tensor, times: int) -> Tensor:
    """transformers' function of that name."""
    return x.repeat_interleave(times, 1)


def rotated(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    """transformers' `apply_rotary_pos_emb`."""
    turned = (torch.cat((-x.chunk(2, -1)[1], x.chunk(2, -1)[0]), -1) for x in (q, k))
    return tuple(x * cos + t * sin for x, t in zip((q, k), turned, strict=True))  # type: ignore[return-value]


class Llama(nn.Module):
    """The attributes that transformers' `LlamaAttention` has."""

    num_heads, num_key_value_heads, num_key_value_groups, head_dim, hidden_size, pretraining_tp = 3, 1, 3, 8, 24, 1

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.o_proj = nn.Linear(24, 24, bias=False), nn.Linear(24, 24, bias=False)
        self.k_proj, self.v_proj = nn.Linear(24, 8, bias=False), nn.Linear(24, 8, bias=False)

    def rotary_emb(self, x: Tensor) -> tuple[Tensor, Tensor]:
        angles = torch.arange(x.shape[-2] * 8, dtype=x.dtype).view(-1, 8)
        return angles.cos(), angles.sin()


def llama() -> tuple[nn.Module, Forward]:
    """What takes the place of `LlamaAttention.forward`: with a mask of zeros, and with a causal one."""
    source = leniently(
        "axolotl/monkeypatch/llama_attn_hijack_xformers.py", repeat_kv=repeat_kv, apply_rotary_pos_emb=rotated
    )
    layer = Llama()

    def run(x: Noise) -> list[Tensor]:
        causal = torch.full((2, 1, 5, 5), -torch.inf).triu(1)
        return [
            source.xformers_forward(layer, x(2, 5, 24), mask)[0] for mask in (None, torch.zeros(2, 1, 5, 5), causal)
        ]

    return parts((layer, run))


class Parallel(nn.Linear):
    """Megatron's layers: the result, and a bias to be added."""

    def forward(self, x: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return super().forward(x), None


def megatron() -> tuple[nn.Module, Forward]:
    """An LLM's attention, tokens first; what sets up its processes is left out, and its attributes are given."""
    kind = leniently("metaseq/modules/multihead_attention.py", with_incremental_state=as_it_is)
    layer = kind.ModelParallelMultiheadAttention.__new__(kind.ModelParallelMultiheadAttention)
    nn.Module.__init__(layer)
    layer.embed_dim, layer.num_heads_partition, layer.head_dim, layer.model_parallel_size = 24, 3, 8, 1
    layer.self_attention, layer.combine_qkv_proj, layer.xf_eff_attn, layer.xf_op = True, False, True, None
    layer.q_proj, layer.k_proj, layer.v_proj, layer.out_proj = (Parallel(24, 24) for _ in "qkvo")
    return parts((layer, lambda x: layer(x(5, 2, 24), None, None)[0]))


DINO = "torchhub/facebookresearch_dinov2_main/dinov2/layers/attention.py"
V2 = "depth_anything_v2/dinov2_layers/attention.py"
EXTERNAL = "mapanything/models/external/{}/layers/attention.py"
EVA_NAMES = ("eva_vit_model.py", "transformer.py")
PARTS = (
    Case(
        "diffusers", "huggingface+diffusers", "every processor", diffusers_processors, root="src",
        stubs=("transformers", "cv2"),
    ),
    Case("diffusers-0.14", "ShivamShrirao+diffusers", "processors of a fork", old_forks, root="src"),
    Case("tango", "declare-lab+tango", "processors of a fork", old_forks, root="mustango/diffusers/src"),
    Case("brushnet", "TencentARC+BrushNet", "processors of a fork", brushnet, root="src"),
    Case("wonder", "xxlong0+Wonder3D", "processors for views and tasks", wonder),
    Case("supir-parts", "Fanghua-Yu+SUPIR", "a VAE in tiles", tiled_vae),
    Case("comfy-supir", "kijai+ComfyUI-SUPIR", "a copy of it", tiled_vae),
    Case("regions", "YangLing0818+RPG-DiffusionMaster", "a function for layers", regions),
    Case("mgld", "IanYeung+MGLD-VSR", "Stable Diffusion's layers", mgld),
    Case("stablesr-parts", "IceClear+StableSR", "Stable Diffusion's layers", mgld),
    Case("cogvideo", "THUDM+CogVideo", "Stable Diffusion's layers", cogvideo, root="sat"),
    Case("naifu", "Mikubill+naifu", "layers of PixArt and Stable Diffusion", naifu),
    Case("vgen", "ali-vilab+VGen", "layers of a video UNet", vgen),
    Case("unianimate", "ali-vilab+UniAnimate", "a copy of them", vgen),
    Case(
        "kohya", "kohya-ss+sd-scripts", "layers with a switch, and functions put in the place of others",
        partial(kohya, "library/original_unet.py", "library/sdxl_original_unet.py"),
    ),
    Case(
        "easyphoto", "aigc-apps+sd-webui-EasyPhoto", "a copy of the layers",
        partial(kohya, "original_unet.py", "original_unet_sd_XL.py"), root="scripts/train_kohya/utils",
    ),
    Case("kohya-trainer", "Linaqruf+kohya-trainer", "functions put in the place of others", kohya_trainer),
    Case("forge", "lllyasviel+stable-diffusion-webui-forge", "a function of tensors", forge),
    Case("scepter", "modelscope+scepter", "layers of several models", scepter),
    Case("promptda", "DepthAnything+PromptDA", "DINOv2's layer", partial(dino, DINO)),
    Case("depth-1", "LiheYoung+Depth-Anything", "DINOv2's layer", partial(dino, DINO)),
    Case("depth-2", "DepthAnything+Depth-Anything-V2", "DINOv2's layer", partial(dino, V2, f"metric_depth/{V2}")),
    Case(
        "depth-video", "DepthAnything+Video-Depth-Anything", "DINOv2's layer",
        partial(dino, V2.replace("depth_anything_v2", "video_depth_anything")),
    ),
    Case(
        "roma", "Parskatt+RoMa", "DINOv2's layer", partial(dino, "romatch/models/transformer/layers/attention.py")
    ),
    Case(
        "map-anything", "facebookresearch+map-anything", "DINOv2's layer",
        partial(dino, EXTERNAL.format("dinov2"), EXTERNAL.format("pi3")),
    ),
    Case("lvsm", "Haian-Jin+LVSM", "attention over views", views, tolerance=1e-6),
    Case("eva-02", "baaivision+EVA", "EVA-02's attention", eva_asuka, root="EVA-02", stubs=("apex",)),
    Case(
        "eva-clip-18b", "baaivision+EVA", "both towers",
        partial(clip_towers, *(f"eva_clip/{name}" for name in EVA_NAMES)), root="EVA-CLIP-18B/shinji",
    ),
    Case(
        "eva-clip-rei", "baaivision+EVA", "both towers",
        partial(clip_towers, *(f"eva_clip/{name}" for name in EVA_NAMES)), root="EVA-CLIP/rei",
    ),
    Case(
        "emu-1", "baaivision+Emu", "both towers", partial(clip_towers, *(f"models/{name}" for name in EVA_NAMES)),
        root="Emu1",
    ),
    Case("emu-2", "baaivision+Emu", "EVA's attention", partial(eva, "emu/eva_vit.py"), root="Emu2"),
    Case("swiss", "THUDM+SwissArmyTransformer", "a function of heads", swiss),
    Case("llama", "axolotl-ai-cloud+axolotl", "what takes the place of LlamaAttention's", llama, root="src"),
    Case("megatron", "facebookresearch+metaseq", "an LLM's layer", megatron),
)  # fmt: skip
