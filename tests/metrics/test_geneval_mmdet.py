"""The checkpoint of mmdet that GenEval was published with, converted and strictly loaded."""

import math

import pytest
import torch

from tests.metrics.geneval import tiny_config, tiny_network
from zz.hub.published import Published
from zz.scorers.geneval.detector import MMDetDetector
from zz.scorers.geneval.mmdet import converted, load, swin_small


def as_mmdet(state):
    """transformers' weights under mmdet's names, written down from mmdet's classes and not from the converter."""
    found = {}

    def put(name, *parts):
        found[name] = torch.cat([state[part] for part in parts])

    swin, pixel = "model.pixel_level_module.encoder.swin", "model.pixel_level_module.decoder"
    decoder, head = "model.transformer_module.decoder", "panoptic_head"
    pieces = ("weight", "bias")
    for w in pieces:
        put(f"backbone.patch_embed.projection.{w}", f"{swin}.embeddings.patch_embeddings.projection.{w}")
        put(f"backbone.patch_embed.norm.{w}", f"{swin}.embeddings.norm.{w}")
        for s, depth in enumerate((1, 1, 2, 1)):
            put(f"backbone.norm{s}.{w}", f"model.pixel_level_module.encoder.hidden_states_norms.stage{s + 1}.{w}")
            for b in range(depth):
                ours, theirs = f"{swin}.encoder.layers.{s}.blocks.{b}", f"backbone.stages.{s}.blocks.{b}"
                put(f"{theirs}.norm1.{w}", f"{ours}.layernorm_before.{w}")
                put(f"{theirs}.norm2.{w}", f"{ours}.layernorm_after.{w}")
                put(f"{theirs}.attn.w_msa.qkv.{w}", *(f"{ours}.attention.{x}_proj.{w}" for x in "qkv"))
                put(f"{theirs}.attn.w_msa.proj.{w}", f"{ours}.attention.o_proj.{w}")
                put(f"{theirs}.ffn.layers.0.0.{w}", f"{ours}.mlp.fc1.{w}")
                put(f"{theirs}.ffn.layers.1.{w}", f"{ours}.mlp.fc2.{w}")
                table = "relative_position_bias_table"
                put(f"{theirs}.attn.w_msa.{table}", f"{ours}.attention.relative_position_bias.{table}")
                found[f"{theirs}.attn.w_msa.relative_position_index"] = torch.zeros(49, 49)
        for n in range(3):
            put(f"{head}.pixel_decoder.input_convs.{n}.conv.{w}", f"{pixel}.input_projections.{n}.0.{w}")
            put(f"{head}.pixel_decoder.input_convs.{n}.gn.{w}", f"{pixel}.input_projections.{n}.1.{w}")
            put(f"{head}.mask_embed.{2 * n}.{w}", f"{decoder}.mask_predictor.mask_embedder.{n}.0.{w}")
        ours, theirs = f"{pixel}.encoder.layers.0", f"{head}.pixel_decoder.encoder.layers.0"
        for part in ("sampling_offsets", "attention_weights", "value_proj", "output_proj"):
            put(f"{theirs}.attentions.0.{part}.{w}", f"{ours}.self_attn.{part}.{w}")
        put(f"{theirs}.norms.0.{w}", f"{ours}.self_attn_layer_norm.{w}")
        put(f"{theirs}.norms.1.{w}", f"{ours}.final_layer_norm.{w}")
        put(f"{theirs}.ffns.0.layers.0.0.{w}", f"{ours}.fc1.{w}")
        put(f"{theirs}.ffns.0.layers.1.{w}", f"{ours}.fc2.{w}")
        for n in range(2):
            ours, theirs = f"{decoder}.layers.{n}", f"{head}.transformer_decoder.layers.{n}"
            put(f"{theirs}.attentions.0.attn.in_proj_{w}", f"{ours}.cross_attn.in_proj_{w}")
            put(f"{theirs}.attentions.0.attn.out_proj.{w}", f"{ours}.cross_attn.out_proj.{w}")
            put(f"{theirs}.attentions.1.attn.in_proj_{w}", *(f"{ours}.self_attn.{x}_proj.{w}" for x in "qkv"))
            put(f"{theirs}.attentions.1.attn.out_proj.{w}", f"{ours}.self_attn.out_proj.{w}")
            put(f"{theirs}.norms.0.{w}", f"{ours}.cross_attn_layer_norm.{w}")
            put(f"{theirs}.norms.1.{w}", f"{ours}.self_attn_layer_norm.{w}")
            put(f"{theirs}.norms.2.{w}", f"{ours}.final_layer_norm.{w}")
            put(f"{theirs}.ffns.0.layers.0.0.{w}", f"{ours}.fc1.{w}")
            put(f"{theirs}.ffns.0.layers.1.{w}", f"{ours}.fc2.{w}")
        put(f"{head}.transformer_decoder.post_norm.{w}", f"{decoder}.layernorm.{w}")
        put(f"{head}.pixel_decoder.lateral_convs.0.gn.{w}", f"{pixel}.adapter_1.1.{w}")
        put(f"{head}.pixel_decoder.output_convs.0.gn.{w}", f"{pixel}.layer_1.1.{w}")
        put(f"{head}.pixel_decoder.mask_feature.{w}", f"{pixel}.mask_projection.{w}")
        put(f"{head}.cls_embed.{w}", f"class_predictor.{w}")
    put(f"{head}.pixel_decoder.lateral_convs.0.conv.weight", f"{pixel}.adapter_1.0.weight")
    put(f"{head}.pixel_decoder.output_convs.0.conv.weight", f"{pixel}.layer_1.0.weight")
    put(f"{head}.pixel_decoder.level_encoding.weight", f"{pixel}.level_embed")
    put(f"{head}.query_embed.weight", "model.transformer_module.queries_embedder.weight")
    put(f"{head}.query_feat.weight", "model.transformer_module.queries_features.weight")
    put(f"{head}.level_embed.weight", "model.transformer_module.level_embed.weight")
    for s in range(3):
        for part in ("reduction.weight", "norm.weight", "norm.bias"):
            x = state[f"{swin}.encoder.layers.{s}.downsample.{part}"]
            # neighbours (row, column) are 00, 10, 01, 11 in transformers; 00, 01, 10, 11 in each channel there
            n00, n10, n01, n11 = x.chunk(4, -1)
            found[f"backbone.stages.{s}.downsample.{part}"] = torch.stack([n00, n01, n10, n11], -1).flatten(-2)
    return found


def test_mmdets_weights_make_the_same_network_strictly(tmp_path):
    network = tiny_network()
    path = tmp_path / "mmdet.pth"
    torch.save({"meta": {"epoch": 50}, "state_dict": as_mmdet(network.state_dict())}, path)
    again = load(path, tiny_config()).eval()
    x = torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        ours, theirs = again(pixel_values=x), network(pixel_values=x)
    assert (ours.class_queries_logits == theirs.class_queries_logits).all()
    assert (ours.masks_queries_logits == theirs.masks_queries_logits).all()
    state = as_mmdet(network.state_dict())
    for wrong, said in [
        ({k: v for k, v in state.items() if "query_feat" not in k}, "does not fill the network: .*queries_features"),
        (state | {"roi_head.weight": torch.zeros(1)}, "roi_head.weight is none of mmdet's Mask2Former"),
        (state | {"panoptic_head.cls_embed.bias": torch.zeros(5)}, "is of another size"),
    ]:
        torch.save({"state_dict": wrong}, path)
        with pytest.raises(ValueError, match=said):
            load(path, tiny_config())
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is no checkpoint of mmdet's Mask2Former"):
        load(path, tiny_config())


def test_a_patch_merging_of_mmdet_is_an_unfold_with_channels_outermost():
    """The same numbers by torch's unfold, as mmdet merges, and by transformers' module with converted weights."""
    from transformers.models.swin.modeling_swin import SwinPatchMerging

    torch.manual_seed(0)
    reduction, weight, bias = torch.randn(10, 20), torch.randn(20), torch.randn(20)
    x = torch.randn(1, 5, 6, 8)
    merged = torch.nn.functional.unfold(x, 2, stride=2).transpose(1, 2)  # (1, 12, 20)
    wanted = torch.nn.functional.layer_norm(merged, (20,), weight, bias) @ reduction.T
    stage = "backbone.stages.0.downsample"
    state = {f"{stage}.reduction.weight": reduction, f"{stage}.norm.weight": weight, f"{stage}.norm.bias": bias}
    module = SwinPatchMerging(5)
    module.load_state_dict({k.partition("downsample.")[2]: v for k, v in converted(state).items()})
    assert torch.allclose(module(x.flatten(2).transpose(1, 2), (6, 8)), wanted, atol=1e-5)


def test_at_full_size_the_names_of_the_published_checkpoint_fill_the_network():
    """Shapes and names only; the published file itself is not read in any test."""
    from transformers import Mask2FormerForUniversalSegmentation

    with torch.device("meta"):
        network = Mask2FormerForUniversalSegmentation(swin_small())
    shapes = {name: tuple(x.shape) for name, x in network.state_dict().items()}
    assert shapes["class_predictor.weight"] == (81, 256)
    assert shapes["model.transformer_module.queries_features.weight"] == (100, 256)
    assert sum(math.prod(shape) for shape in shapes.values()) == pytest.approx(
        68.8e6, rel=0.01
    )  # as mmdet's table says


def test_the_digits_in_the_name_of_mmdets_file_are_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    detector = MMDetDetector(Published("https://host/mask2former-743b7d99.pth"))
    detector.file.place.parent.mkdir(parents=True)
    detector.file.place.write_bytes(b"others")
    with pytest.raises(ValueError, match=r"is not what its name says: .* not 743b7d99"):
        detector.load()


# -- colours ---------------------------------------------------------------------------------------------------------
