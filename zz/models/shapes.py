"""The model included in zz: latent diffusion on the shapes world (see zz/weights/shapes/MODEL_CARD.md)."""

from zz.models.base import Card
from zz.models.sd import StableDiffusion


def shapes() -> StableDiffusion:
    """The model of conf/model/shapes.yaml; gamma1 is the best for standard sampling on `shapes_tune`."""
    return StableDiffusion(
        "zz:shapes",
        prediction_type="epsilon",
        gamma1=4.0,
        size=(32, 32),
        batch_size=16,
        card=Card("Apache-2.0", download_gb=0, memory_gb=0.5),
        name="shapes",
    )
