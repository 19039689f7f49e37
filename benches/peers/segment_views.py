"""From JPEG files to the two views of unsupervised segmentation on one core: the peers that
`densesiam bench segment-loader` is compared with.

As released: the shorter side is scaled to 640 and the centred square taken; the colours of the whole square are changed for
each view (brightness, contrast, saturation and hue in this order, each p 0.8, then grayscale p 0.2, then blur p 0.5); view 1
is one square crop of it (side ratio 0.5 to 1) at 320 pixels, perhaps mirrored, view 2 the whole square at 320 pixels. A
picture draws the same in every pass. Every reduction is antialiased, as ours. A view ends as bytes (rows of RGB, or planes
for tensors); nobody normalises. Prints one JSON object a peer.

    python3 segment_views.py --root DIR --pictures 120 --repeats 5 --variants pillow,tensors

Peers: torchvision on Pillow pictures, and the same on tensors.
"""

import io
import random

import data_path
import numpy
import PIL
import torch
import torchvision
from PIL import Image, ImageFilter
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import functional as F

BASE = 640
SIZE = 320
SIGMA = (0.1, 2.0)
KERNEL = 13  # three sigmas to either side of the strongest blur


def two_views_of(picture, number, blur):
    """Both views; what is drawn is a function of the picture's number."""
    draw = random.Random(number)
    frame = F.center_crop(F.resize(picture, [BASE], antialias=True), [BASE, BASE])
    side = int(BASE * draw.uniform(0.5, 1))
    top, left = (round((BASE - side) * draw.random()) for _ in range(2))
    view1 = F.resized_crop(recoloured(frame, draw, blur), top, left, side, side, [SIZE, SIZE], antialias=True)
    if draw.random() < 0.5:
        view1 = F.horizontal_flip(view1)
    return view1, F.resize(recoloured(frame, draw, blur), [SIZE, SIZE], antialias=True)


def recoloured(picture, draw, blur):
    for adjust in (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation):
        if draw.random() < 0.8:
            picture = adjust(picture, draw.uniform(0.7, 1.3))
    if draw.random() < 0.8:
        picture = F.adjust_hue(picture, draw.uniform(-0.1, 0.1))
    if draw.random() < 0.2:
        picture = F.rgb_to_grayscale(picture, num_output_channels=3)
    if draw.random() < 0.5:
        picture = blur(picture, draw.uniform(*SIGMA))
    return picture


def pillow():
    def blur(picture, sigma):
        return picture.filter(ImageFilter.GaussianBlur(sigma))

    def two_views(jpeg, number):
        picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
        return [numpy.asarray(view) for view in two_views_of(picture, number, blur)]

    return two_views, {"torchvision": torchvision.__version__, "pillow": PIL.__version__}


def tensors():
    def blur(picture, sigma):
        return F.gaussian_blur(picture, [KERNEL, KERNEL], [sigma, sigma])

    def two_views(jpeg, number):
        picture = decode_jpeg(torch.frombuffer(bytearray(jpeg), dtype=torch.uint8), ImageReadMode.RGB)
        return two_views_of(picture, number, blur)

    return two_views, {"torchvision": torchvision.__version__, "torch": torch.__version__}


VARIANTS = {"pillow": pillow, "tensors": tensors}


def main():
    options = data_path.parse(__doc__, VARIANTS)
    data_path.run_variants(VARIANTS, options, shapes={(SIZE, SIZE, 3), (3, SIZE, SIZE)})


if __name__ == "__main__":
    main()
