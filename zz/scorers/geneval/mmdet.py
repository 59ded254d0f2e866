"""mmdet 2's Mask2Former with a Swin-S, read into transformers' network: names, and the layout of some weights.

- A patch merging of mmdet has channels outermost (torch's unfold), one of transformers the four neighbours.
- query, key and value are one matrix in mmdet's windows and in its decoder's self-attention.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zz.models.pretrained.quiet import quiet

PIXEL, DECODER = "model.pixel_level_module", "model.transformer_module"
_LAYERS = f"{PIXEL}.encoder.swin.encoder.layers"
NAMES: list[tuple[str, Any]] = [  # the first that matches, the whole name
    (r"backbone\.patch_embed\.projection\.(.*)", rf"{PIXEL}.encoder.swin.embeddings.patch_embeddings.projection.\1"),
    (r"backbone\.patch_embed\.norm\.(.*)", rf"{PIXEL}.encoder.swin.embeddings.norm.\1"),
    (r"backbone\.norm(\d)\.(.*)", lambda m: f"{PIXEL}.encoder.hidden_states_norms.stage{int(m[1]) + 1}.{m[2]}"),
    (r"backbone\.stages\.(\d+)\.downsample\.(.*)", rf"{PIXEL}.encoder.swin.encoder.layers.\1.downsample.\2"),
    (r"backbone\.stages\.(\d+)\.(blocks\.\d+)\.(.*)", lambda m: f"{_LAYERS}.{m[1]}.{m[2]}.{_block(m[3])}"),
    (r"panoptic_head\.pixel_decoder\.input_convs\.(\d)\.conv\.(.*)", rf"{PIXEL}.decoder.input_projections.\1.0.\2"),
    (r"panoptic_head\.pixel_decoder\.input_convs\.(\d)\.gn\.(.*)", rf"{PIXEL}.decoder.input_projections.\1.1.\2"),
    (r"panoptic_head\.pixel_decoder\.level_encoding\.weight", rf"{PIXEL}.decoder.level_embed"),
    (r"panoptic_head\.pixel_decoder\.lateral_convs\.0\.conv\.(.*)", rf"{PIXEL}.decoder.adapter_1.0.\1"),
    (r"panoptic_head\.pixel_decoder\.lateral_convs\.0\.gn\.(.*)", rf"{PIXEL}.decoder.adapter_1.1.\1"),
    (r"panoptic_head\.pixel_decoder\.output_convs\.0\.conv\.(.*)", rf"{PIXEL}.decoder.layer_1.0.\1"),
    (r"panoptic_head\.pixel_decoder\.output_convs\.0\.gn\.(.*)", rf"{PIXEL}.decoder.layer_1.1.\1"),
    (r"panoptic_head\.pixel_decoder\.mask_feature\.(.*)", rf"{PIXEL}.decoder.mask_projection.\1"),
    (
        r"panoptic_head\.pixel_decoder\.encoder\.layers\.(\d+)\.(.*)",
        lambda m: f"{PIXEL}.decoder.encoder.layers.{m[1]}.{_encoder(m[2])}",
    ),
    (
        r"panoptic_head\.transformer_decoder\.layers\.(\d+)\.(.*)",
        lambda m: f"{DECODER}.decoder.layers.{m[1]}.{_decoder(m[2])}",
    ),
    (r"panoptic_head\.transformer_decoder\.post_norm\.(.*)", rf"{DECODER}.decoder.layernorm.\1"),
    (r"panoptic_head\.query_embed\.weight", rf"{DECODER}.queries_embedder.weight"),
    (r"panoptic_head\.query_feat\.weight", rf"{DECODER}.queries_features.weight"),
    (r"panoptic_head\.level_embed\.weight", rf"{DECODER}.level_embed.weight"),
    (
        r"panoptic_head\.mask_embed\.(\d)\.(.*)",
        lambda m: f"{DECODER}.decoder.mask_predictor.mask_embedder.{int(m[1]) // 2}.0.{m[2]}",
    ),
    (r"panoptic_head\.cls_embed\.(.*)", r"class_predictor.\1"),
]
_OWN = re.compile(r".*\.swin\.layernorm\..*|criterion\..*|.*relative_position_index")  # of one side, and never read


def converted(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of mmdet's in transformers' names. Raises ValueError with a name that is unknown."""
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        if _OWN.fullmatch(name) or name.startswith("panoptic_fusion_head."):
            continue
        for pattern, to in NAMES:
            if match := re.fullmatch(pattern, name):
                new = to(match) if callable(to) else match.expand(to)
                found |= dict(_laid_out(new, value))
                break
        else:
            raise ValueError(f"{name} is none of mmdet's Mask2Former with a Swin")
    return found


def load(path: Path, config: Any = None) -> Any:
    """mmdet's checkpoint as transformers' network, strictly: every weight has its place, and every place its weight.

    config: of the network; None: Swin-S of window 7 and 80 classes, that of the published checkpoint
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        state = converted(saved.get("state_dict", saved))
    except Exception as error:  # whatever torch raises on a file of another kind
        said = str(error).split("\n")[0]
        raise ValueError(f"scorers: {path} is no checkpoint of mmdet's Mask2Former ({said})") from error
    with quiet():
        from transformers import Mask2FormerForUniversalSegmentation

        network = Mask2FormerForUniversalSegmentation(config or swin_small())
    try:
        about = network.load_state_dict(state, strict=False)
    except RuntimeError as error:  # of another shape
        raise ValueError(f"scorers: {path} is of another size: {str(error).splitlines()[1].strip()}") from error
    missing = [name for name in about.missing_keys if not _OWN.fullmatch(name)]
    if wrong := [*missing, *about.unexpected_keys]:
        raise ValueError(f"scorers: {path} does not fill the network: {wrong[0]} and {len(wrong) - 1} others")
    return network


def swin_small() -> Any:
    """mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco."""
    from transformers import Mask2FormerConfig, SwinConfig

    stages = [f"stage{n}" for n in range(1, 5)]
    backbone: Any = SwinConfig
    network: Any = Mask2FormerConfig
    swin = backbone(embed_dim=96, depths=[2, 2, 18, 2], num_heads=[3, 6, 12, 24], window_size=7, out_features=stages)
    return network(backbone_config=swin, num_labels=80, num_queries=100)


def _block(name: str) -> str:
    """Within a block of the Swin."""
    for mmdet, ours in [
        (r"norm1\.", "layernorm_before."),
        (r"norm2\.", "layernorm_after."),
        (r"ffn\.layers\.0\.0\.", "mlp.fc1."),
        (r"ffn\.layers\.1\.", "mlp.fc2."),
        (r"attn\.w_msa\.qkv\.", "attention.QKV_proj."),
        (r"attn\.w_msa\.proj\.", "attention.o_proj."),
        (r"attn\.w_msa\.(?=relative_position_bias_table)", "attention.relative_position_bias."),
    ]:
        name = re.sub(f"^{mmdet}", ours, name)
    return name


def _encoder(name: str) -> str:
    """Within a layer of the pixel decoder's encoder."""
    for mmdet, ours in [
        (r"attentions\.0\.", "self_attn."),
        (r"norms\.0\.", "self_attn_layer_norm."),
        (r"norms\.1\.", "final_layer_norm."),
        (r"ffns\.0\.layers\.0\.0\.", "fc1."),
        (r"ffns\.0\.layers\.1\.", "fc2."),
    ]:
        name = re.sub(f"^{mmdet}", ours, name)
    return name


def _decoder(name: str) -> str:
    """Within a layer of the transformer decoder: first the cross-attention, then the self-attention."""
    for mmdet, ours in [
        (r"attentions\.0\.attn\.", "cross_attn."),
        (r"attentions\.1\.attn\.in_proj_", "self_attn.QKV_proj."),
        (r"attentions\.1\.attn\.", "self_attn."),
        (r"norms\.0\.", "cross_attn_layer_norm."),
        (r"norms\.1\.", "self_attn_layer_norm."),
        (r"norms\.2\.", "final_layer_norm."),
        (r"ffns\.0\.layers\.0\.0\.", "fc1."),
        (r"ffns\.0\.layers\.1\.", "fc2."),
    ]:
        name = re.sub(f"^{mmdet}", ours, name)
    return name


def _laid_out(name: str, value: Tensor) -> Iterator[tuple[str, Tensor]]:
    """One weight of mmdet's as transformers has it, or as the three that it has."""
    if "QKV_proj" in name:
        for which, part in zip("qkv", value.chunk(3), strict=True):
            yield name.replace("QKV", which), part
    elif ".downsample." in name:  # columns (channel, row, column) -> (column, row, channel)
        yield name, value.unflatten(-1, (-1, 2, 2)).transpose(-3, -1).flatten(-3)
    else:
        yield name, value
