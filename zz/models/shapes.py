"""The model that comes with zz: a latent diffusion model of the shapes world (see zz/weights/shapes/MODEL_CARD.md)."""

from zz.models.base import Card
from zz.models.sd import StableDiffusion


def shapes() -> StableDiffusion:
    """As conf/model/shapes.yaml describes it; gamma1 is what is best for standard sampling on `shapes_tune`."""
    return StableDiffusion(
        "zz:shapes",
        prediction_type="epsilon",
        gamma1=4.0,
        size=(32, 32),
        batch_size=16,
        card=Card("Apache-2.0", download_gb=0, memory_gb=0.5),
        name="shapes",
    )
