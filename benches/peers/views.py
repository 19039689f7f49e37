"""From JPEG files to two augmented views on one core: the peers that `densesiam bench loader` is compared with.

Each peer reads and decodes a picture once and draws both views from it: crop (0.2, 1), colour jitter 0.4/0.4/0.4/0.1
p 0.8, grayscale p 0.2, blur sigma 0.1..2 p 0.5, flip p 0.5, 224 pixels. Like ours, a view ends as bytes (rows of RGB, or
planes for tensors); nobody normalises. Prints one JSON object a peer.

    python3 views.py --root DIR --pictures 120 --repeats 5 --variants pillow,tensors,albumentations

Peers: torchvision on Pillow pictures, torchvision.transforms.v2 on tensors, and Albumentations on OpenCV (its crop
interpolates without antialiasing, which is less work than the others').
"""

import io
import os
import random

import data_path
import numpy
import PIL
import torch
import torchvision
from PIL import Image, ImageFilter
from torchvision import transforms
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import v2

SIZE = 224
SCALE = (0.2, 1.0)
RATIO = (3 / 4, 4 / 3)
SIGMA = (0.1, 2.0)
KERNEL = 13  # three sigmas to either side of the strongest blur


class PillowBlur:
    """The blur of SimSiam and MoCo v2, on Pillow images."""

    def __call__(self, picture):
        return picture.filter(ImageFilter.GaussianBlur(random.uniform(*SIGMA)))


def pillow():
    view = transforms.Compose([
        transforms.RandomResizedCrop(SIZE, SCALE, RATIO),
        transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        transforms.RandomGrayscale(0.2),
        transforms.RandomApply([PillowBlur()], p=0.5),
        transforms.RandomHorizontalFlip(),
        numpy.asarray,
    ])

    def two_views(jpeg, _):
        picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
        return view(picture), view(picture)

    return two_views, {"torchvision": torchvision.__version__, "pillow": PIL.__version__}


def tensors():
    view = v2.Compose([
        v2.RandomResizedCrop(SIZE, SCALE, RATIO, antialias=True),
        v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        v2.RandomGrayscale(0.2),
        v2.RandomApply([v2.GaussianBlur(KERNEL, SIGMA)], p=0.5),
        v2.RandomHorizontalFlip(),
    ])

    def two_views(jpeg, _):
        picture = decode_jpeg(torch.frombuffer(bytearray(jpeg), dtype=torch.uint8), ImageReadMode.RGB)
        return view(picture), view(picture)

    return two_views, {"torchvision": torchvision.__version__, "torch": torch.__version__}


def albumentations():
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it would ask the network for its newest version
    import albumentations
    import cv2

    cv2.setNumThreads(0)
    transform = albumentations.Compose([
        albumentations.RandomResizedCrop(size=(SIZE, SIZE), scale=SCALE, ratio=RATIO),
        albumentations.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        albumentations.ToGray(p=0.2),
        albumentations.GaussianBlur(blur_limit=0, sigma_limit=SIGMA, p=0.5),
        albumentations.HorizontalFlip(),
    ])

    def two_views(jpeg, _):
        picture = cv2.imdecode(numpy.frombuffer(jpeg, numpy.uint8), cv2.IMREAD_COLOR)
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        return [numpy.ascontiguousarray(transform(image=picture)["image"]) for _ in range(2)]

    return two_views, {"albumentations": albumentations.__version__, "opencv": cv2.__version__}


VARIANTS = {"pillow": pillow, "tensors": tensors, "albumentations": albumentations}


def main():
    options = data_path.parse(__doc__, VARIANTS)
    data_path.run_variants(VARIANTS, options, shapes={(SIZE, SIZE, 3), (3, SIZE, SIZE)})


if __name__ == "__main__":
    main()
