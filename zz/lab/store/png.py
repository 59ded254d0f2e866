"""Pictures as PNG files: what is written with them, and whether a file is a whole one."""

import errno
import os
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

_NONE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL)  # no file there, or one too short
_HEAD, _TAIL = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


def save(image: Image.Image, path: Path, **text: str) -> None:
    """Write a picture with text fields; equal pictures with equal text are equal files."""
    fields = PngInfo()
    for name, value in text.items():
        fields.add_itxt(name, value)
    image.save(path, format="PNG", pnginfo=fields)


def is_whole(path: Path) -> bool:
    """Whether a file begins and ends as a PNG does. Raises OSError where that cannot be said."""
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(len(_HEAD))
            file.seek(-len(_TAIL), os.SEEK_END)
            return head == _HEAD and file.read() == _TAIL
    except OSError as error:
        if error.errno in _NONE:
            return False
        raise
