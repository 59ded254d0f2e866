"""A checkpoint of NPNet in its published layout, with random weights, and what its parts compute, by hand."""

from itertools import product

import torch
from torch.nn.functional import conv2d, gelu, layer_norm, linear

WIDTH, DEPTHS, HEADS, WINDOW, SHIFT = 16, (2, 2, 6, 2), (3, 6, 12, 24), 7, 3


def swin_shapes():
    """timm's names of swin_tiny_patch4_window7_224."""
    found = {"patch_embed.proj.weight": (96, 3, 4, 4), "patch_embed.proj.bias": (96,)}

    def norm(name, n):
        return {f"{name}.weight": (n,), f"{name}.bias": (n,)}

    def full(name, a, b):
        return {f"{name}.weight": (a, b), f"{name}.bias": (a,)}

    found |= norm("patch_embed.norm", 96) | norm("norm", 768) | full("head.fc", 1000, 768)
    for layer, depth in enumerate(DEPTHS):
        n = 96 * 2**layer
        if layer:
            at = f"layers.{layer}.downsample"
            found |= norm(f"{at}.norm", 2 * n) | {f"{at}.reduction.weight": (n, 2 * n)}
        for block in range(depth):
            at = f"layers.{layer}.blocks.{block}"
            found |= norm(f"{at}.norm1", n) | norm(f"{at}.norm2", n)
            found |= {f"{at}.attn.relative_position_bias_table": (13**2, HEADS[layer])}
            found |= full(f"{at}.attn.qkv", 3 * n, n) | full(f"{at}.attn.proj", n, n)
            found |= full(f"{at}.mlp.fc1", 4 * n, n) | full(f"{at}.mlp.fc2", n, 4 * n)
    return found


def checkpoint(width=WIDTH, alpha=0.7, beta=0.3):
    """Of random weights, as the published ones are laid out."""
    draw = torch.Generator().manual_seed(0)
    sizes = {"mlp1.0": (64, 256), "mlp1.2": (256, 64), "mlp2.0": (64, 256), "mlp2.2": (256, 64), "mlp3.0": (256, 256)}
    sizes |= {"mlp4.0": (1024, 256), "mlp4.2": (256, 1024), "attention.proj": (256, 256)}
    svd = {f"{name}.weight": shape for name, shape in sizes.items()} | {"attention.qkv.weight": (768, 256)}
    svd |= {f"{name}.bias": shape[:1] for name, shape in sizes.items()}
    svd |= {f"bn.{name}": (256,) for name in ("weight", "bias", "running_mean", "running_var")}
    convs = {"upconv.weight": (4, 7, 1, 1), "upconv.bias": (4,), "downconv.weight": (3, 4, 1, 1), "downconv.bias": (3,)}

    def drawn(shapes, scale=0.05):
        return {
            name: torch.randn(shape, generator=draw) * (1 if "table" in name else scale)
            + (len(shape) == 1 and name.endswith(("norm.weight", "norm1.weight", "norm2.weight")))
            for name, shape in shapes.items()
        }

    return {
        "unet_svd": drawn(svd) | {"bn.num_batches_tracked": torch.tensor(0)},
        "unet_embedding": drawn(convs, 1.0) | {f"swin.{k}": v for k, v in drawn(swin_shapes()).items()},
        "embeeding": drawn({"linear.weight": (8, 77 * width), "linear.bias": (8,)}),
        "alpha": torch.tensor([alpha], requires_grad=True),
        "beta": torch.tensor([beta], requires_grad=True),
    }


def dense(state, name, x):
    return linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))


def svd(state, x):
    """S, with a matrix laid out channel by channel and heads one by one."""
    M = torch.cat([torch.cat([x[:, 0], x[:, 1]], 2), torch.cat([x[:, 2], x[:, 3]], 2)], 1)
    U, s, Vh = torch.linalg.svd(M)

    def two(name, x):
        return dense(state, f"{name}.2", dense(state, f"{name}.0", x).relu())

    O = two("mlp1", U.mT) + two("mlp2", Vh) + dense(state, "mlp3.0", s)[:, None]  # noqa: E741
    q, k, v = (dense(state, "attention.qkv", O)[..., 256 * n : 256 * (n + 1)] for n in range(3))
    heads = [slice(32 * h, 32 * h + 32) for h in range(8)]
    mixed = [(q[..., h] @ k[..., h].mT / 32**0.5).softmax(-1) @ v[..., h] for h in heads]
    s = two("mlp4", dense(state, "attention.proj", torch.cat(mixed, -1)).mean(1)) + s
    M = U @ torch.diag_embed(s) @ Vh
    return torch.stack([M[:, :128, :128], M[:, :128, 128:], M[:, 128:, :128], M[:, 128:, 128:]], 1)


def attention(state, at, x, heads, shift):
    """Of windows of 7 x 7, one by one: a pair of places is looked at if both were neighbours before the shift."""
    side, n = x.shape[1], x.shape[-1] // heads
    places = list(product(range(WINDOW), repeat=2))
    table = state[f"{at}.relative_position_bias_table"]
    offsets = torch.tensor([[(a - c + 6) * 13 + (b - d + 6) for c, d in places] for a, b in places])
    bias = table[offsets].permute(2, 0, 1)  # (heads, 49, 49)
    rolled, out = x.roll((-shift, -shift), (1, 2)), torch.empty_like(x)
    for i, j in product(range(0, side, WINDOW), repeat=2):
        window = rolled[:, i : i + WINDOW, j : j + WINDOW].flatten(1, 2)
        q, k, v = dense(state, f"{at}.qkv", window).chunk(3, -1)
        area = [(i + a >= side - shift, j + b >= side - shift) if shift else 0 for a, b in places]
        apart = torch.tensor([[one != other for other in area] for one in area])
        hidden = torch.where(apart, -100.0, 0.0)
        each = [slice(n * h, n * (h + 1)) for h in range(heads)]
        seen = [
            (q[..., h] @ k[..., h].mT / n**0.5 + bias[m] + hidden).softmax(-1) @ v[..., h] for m, h in enumerate(each)
        ]
        mixed = dense(state, f"{at}.proj", torch.cat(seen, -1)).unflatten(1, (WINDOW, WINDOW))
        out[:, i : i + WINDOW, j : j + WINDOW] = mixed
    return out.roll((shift, shift), (1, 2))


def swin(state, x):
    """timm's forward_features, from its own names: (B, 3, 224, 224) to (B, 7, 7, 768)."""

    def norm(name, x):
        return layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    x = conv2d(x, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], 4).permute(0, 2, 3, 1)
    x = norm("patch_embed.norm", x)
    for layer, depth in enumerate(DEPTHS):
        if layer:
            corners = [x[:, row::2, column::2] for column, row in product(range(2), repeat=2)]
            x = dense(
                state,
                f"layers.{layer}.downsample.reduction",
                norm(f"layers.{layer}.downsample.norm", torch.cat(corners, -1)),
            )
        for block in range(depth):
            at, shift = f"layers.{layer}.blocks.{block}", SHIFT if block % 2 and x.shape[1] > WINDOW else 0
            x = x + attention(state, f"{at}.attn", norm(f"{at}.norm1", x), HEADS[layer], shift)
            x = x + dense(state, f"{at}.mlp.fc2", gelu(dense(state, f"{at}.mlp.fc1", norm(f"{at}.norm2", x))))
    return norm("norm", x)
