"""A drawn street, in which any detector of COCO's classes finds something: a check that its weights are whole."""

from functools import cache
from math import cos, pi, sin

from PIL import Image, ImageDraw, ImageFont


@cache
def scene() -> Image.Image:
    """A stop sign, a clock, a traffic light and a ball, 512 x 512."""
    image = Image.new("RGB", (512, 512), "#9cc4e8")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 360, 512, 512), fill="#6f8f55")
    draw.rectangle((0, 430, 512, 512), fill="#5a5a5c")
    draw.rectangle((143, 240, 153, 440), fill="#8d9093")
    for radius, colour in ((104, "#f4f4f4"), (97, "#b3151b")):
        corners = [(148 + radius * cos(pi / 8 + n * pi / 4), 150 + radius * sin(pi / 8 + n * pi / 4)) for n in range(8)]
        draw.polygon(corners, fill=colour)
    draw.text((148, 150), "STOP", font=ImageFont.load_default(62), fill="#f4f4f4", anchor="mm", stroke_width=2)
    draw.rectangle((392, 60, 444, 220), fill="#20241f")
    for y, colour in ((88, "#e32219"), (140, "#4a4212"), (192, "#12431c")):
        draw.ellipse((400, y - 18, 436, y + 18), fill=colour)
    draw.rectangle((414, 220, 422, 440), fill="#3a3d3a")
    draw.ellipse((242, 212, 352, 322), fill="#fbfbf6", outline="#2b2b2b", width=7)
    for n in range(12):
        across, down = sin(n * pi / 6), -cos(n * pi / 6)
        ends = (297 + 40 * across, 267 + 40 * down, 297 + 47 * across, 267 + 47 * down)
        draw.line(ends, fill="#2b2b2b", width=3)
    draw.line((297, 267, 297, 232), fill="#111111", width=4)
    draw.line((297, 267, 320, 280), fill="#111111", width=5)
    for n in range(34):  # a shaded ball
        shade = 150 + 3 * n
        draw.ellipse((250 + n, 390 + n, 338 - n * 1.4, 478 - n * 1.4), fill=(shade, shade // 2, 20))
    return image
