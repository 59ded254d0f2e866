"""Text encoders to begin from: two CLIPs of the shapes world, as SDXL and SD3 begin from two of the web's."""

from transformers import CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from zz.hub.files import EMBEDDED


def drawn() -> CLIPTextModel:
    """The text encoder of `shapes`, which learned to be drawn from."""
    return CLIPTextModel.from_pretrained(EMBEDDED / "shapes" / "text_encoder")


def seen() -> CLIPTextModelWithProjection:
    """The text tower of the two-tower model, which learned to be told from pictures."""
    clip = CLIPModel.from_pretrained(EMBEDDED / "shapes_clip")
    tower = _projected(clip.config.projection_dim)
    tower.text_model.load_state_dict(clip.text_model.state_dict())
    tower.text_projection.load_state_dict(clip.text_projection.state_dict())
    return tower


def drawn_projected() -> CLIPTextModelWithProjection:
    """That of `shapes`, to which a projection is added that has learned nothing yet."""
    encoder = drawn()
    tower = _projected(encoder.config.projection_dim)
    tower.text_model.load_state_dict(encoder.state_dict())
    return tower


def tokenizer() -> CLIPTokenizer:
    """Of both."""
    return CLIPTokenizer.from_pretrained(EMBEDDED / "shapes" / "tokenizer")


def _projected(width: int | None) -> CLIPTextModelWithProjection:
    config = CLIPTextConfig.from_pretrained(EMBEDDED / "shapes" / "text_encoder")
    return CLIPTextModelWithProjection(CLIPTextConfig(**config.to_dict() | {"projection_dim": width}))
