"""Which way a move goes."""

from enum import StrEnum


class Leg(StrEnum):
    """The direction of one move, and on whose behalf it is made."""

    ZIG = "zig"  # down, towards clean: denoise
    ZAG = "zag"  # up, towards noise: invert
    STRONG = "strong"  # down, but only to come back: the zig of a weak-to-strong reflection
    RENOISE = "renoise"  # up, by adding fresh noise; asks for no prediction
    STAY = "stay"  # neither: the latent changes at its noise level
