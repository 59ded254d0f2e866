"""`shapes_v`: the U-Net of `shapes`, which predicts v instead of noise, as Stable Diffusion 2.1 does.

It begins from the weights of `shapes` and learns the other target, as Stable Diffusion 2.0's 768-v went on from its
base model (Rombach et al., 2022; v: Salimans and Ho, 2022).
"""

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from torch import Tensor
from transformers import CLIPTextModel

from zz.experiments.train_shapes import unet
from zz.experiments.train_shapes.export import pipeline
from zz.experiments.train_shapes.tokens import build_tokenizer
from zz.hub.files import EMBEDDED, resolve

PREDICTS = "v_prediction"


class Lesson(unet.Lesson):
    """The U-Net and the text encoder of `shapes`, taught v = sqrt(abar) eps - sqrt(1 - abar) x0."""

    def __init__(self) -> None:
        start = EMBEDDED / "shapes"
        super().__init__(unet.Plan(), AutoencoderKL.from_pretrained(start / "vae"), build_tokenizer())
        self.unet.load_state_dict(UNet2DConditionModel.from_pretrained(start / "unet").state_dict())
        self.text.load_state_dict(CLIPTextModel.from_pretrained(start / "text_encoder").state_dict())

    def target(self, x0: Tensor, eps: Tensor, abar: Tensor) -> Tensor:
        return abar.sqrt() * eps - (1 - abar).sqrt() * x0

    def parts(self) -> StableDiffusionPipeline:
        """As diffusers has it."""
        return pipeline(self.vae, self.unet, self.text, self.tokenizer, PREDICTS)


def finished() -> StableDiffusionPipeline:
    """The model that came of it."""
    return StableDiffusionPipeline.from_pretrained(resolve("zz:shapes_v"), safety_checker=None)


__all__ = ["Lesson", "finished"]
