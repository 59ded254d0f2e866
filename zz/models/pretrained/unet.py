"""Models whose network is a U-Net, such as Stable Diffusion."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from zz.models.attention.reading import UNET, TextAttention
from zz.models.base import Can
from zz.models.pretrained.description import Pretrained
from zz.models.pretrained.pipeline import LatentPipeline, factor


class UNetPipeline(LatentPipeline):
    """A `LatentPipeline` with a U-Net."""

    network: ClassVar[str] = "unet"
    noun: ClassVar[str] = "U-Net"
    predicts: ClassVar[tuple[str, ...]] = ("epsilon", "v_prediction")
    widths: ClassVar[tuple[str, ...]] = ("cross_attention_dim",)
    attends: TextAttention = UNET
    addition: ClassVar[str | None] = None  # beside latents, time and text: diffusers' addition_embed_type

    @classmethod
    def check_network(cls, network: Mapping[str, Any], vae: Mapping[str, Any], who: str) -> None:
        super().check_network(network, vae, who)
        for name, wanted in (("addition_embed_type", cls.addition), ("encoder_hid_dim_type", None)):
            if network.get(name) != wanted:
                raise ValueError(
                    f"{who} has a U-Net with {name}={network.get(name)}, which a {cls.__name__} of diffusers gives "
                    f"nothing to read; it needs {wanted}: is it of another model?"
                )

    @property
    def can(self) -> Can:
        return Can(taps=True, tokens=True, inside=True)

    @classmethod
    def multiple(cls, network: Mapping[str, Any], vae: Mapping[str, Any]) -> int:
        return factor(vae) * 2 ** (len(network["block_out_channels"]) - 1)


@dataclass(frozen=True)
class UNetModel(Pretrained):
    """Fields as in `Pretrained`, and

    unet: a folder or hub id (ID or ID@REVISION) whose U-Net replaces the model's own
    """

    classes: ClassVar[Mapping[str, str]] = {"unet": "UNet2DConditionModel", **Pretrained.classes}

    unet: str | None = None

    def check(self, size: tuple[int, int], prompts: Sequence[str], precision: str = "32") -> None:
        super().check(size, prompts, precision)
        reads, widths = self.config_of("unet").get("cross_attention_dim"), None
        with suppress(ValueError, KeyError):  # a part that is not here is missed by others
            widths = [self.config_of(part)["hidden_size"] for part in self.kept if part.startswith("text_encoder")]
        if widths and isinstance(reads, int) and reads != sum(widths):
            raise ValueError(
                f"model.pretrained={self.home().name} has a U-Net that reads text of width {reads}, but its text "
                f"encoders give {sum(widths)}"
            )


__all__ = ["UNetModel", "UNetPipeline"]
