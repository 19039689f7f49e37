"""From JPEG bytes to two augmented, normalised views on one core: the peers that our data path is compared with.

Each peer decodes a picture once and draws both views from it: crop (0.2, 1), colour jitter 0.4/0.4/0.4/0.1 p 0.8,
grayscale p 0.2, blur sigma 0.1..2 p 0.5, flip p 0.5, normalisation, 224 pixels. Files are read before the clock starts.
One pass over all pictures is one measurement; prints one JSON object a peer with the minimum and the median of the
passes, in milliseconds a picture (both views).

    python3 loader.py --root DIR --pictures 120 --repeats 3

Peers: torchvision on Pillow, torchvision.transforms.v2 on tensors, and Albumentations on OpenCV where it is installed
(its crop interpolates without antialiasing, the others' with).
"""

import argparse
import io
import json
import pathlib
import random
import statistics
import time

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
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class PillowBlur:
    """The blur of SimSiam and MoCo v2, on Pillow images."""

    def __call__(self, picture):
        return picture.filter(ImageFilter.GaussianBlur(random.uniform(*SIGMA)))


def torchvision_on_pillow():
    view = transforms.Compose([
        transforms.RandomResizedCrop(SIZE, SCALE, RATIO),
        transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        transforms.RandomGrayscale(0.2),
        transforms.RandomApply([PillowBlur()], p=0.5),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ])

    def decode(jpeg):
        return Image.open(io.BytesIO(jpeg)).convert("RGB")

    return decode, view, {"torchvision": torchvision.__version__, "pillow": PIL.__version__}


def torchvision_v2_on_tensors():
    view = v2.Compose([
        v2.RandomResizedCrop(SIZE, SCALE, RATIO, antialias=True),
        v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        v2.RandomGrayscale(0.2),
        v2.RandomApply([v2.GaussianBlur(KERNEL, SIGMA)], p=0.5),
        v2.RandomHorizontalFlip(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, STD),
    ])

    def decode(jpeg):
        return decode_jpeg(torch.frombuffer(bytearray(jpeg), dtype=torch.uint8), ImageReadMode.RGB)

    return decode, view, {"torchvision": torchvision.__version__, "torch": torch.__version__}


def albumentations_on_opencv():
    import albumentations
    import cv2

    cv2.setNumThreads(0)
    transform = albumentations.Compose([
        albumentations.RandomResizedCrop(size=(SIZE, SIZE), scale=SCALE, ratio=RATIO),
        albumentations.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        albumentations.ToGray(p=0.2),
        albumentations.GaussianBlur(blur_limit=0, sigma_limit=SIGMA, p=0.5),
        albumentations.HorizontalFlip(),
        albumentations.Normalize(MEAN, STD),
    ])

    def decode(jpeg):
        picture = cv2.imdecode(numpy.frombuffer(jpeg, numpy.uint8), cv2.IMREAD_COLOR)
        return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)

    def view(picture):
        return numpy.ascontiguousarray(transform(image=picture)["image"].transpose(2, 0, 1))

    versions = {"albumentations": albumentations.__version__, "opencv": cv2.__version__}
    return decode, view, versions


PEERS = [torchvision_on_pillow, torchvision_v2_on_tensors, albumentations_on_opencv]


def measure(decode, view, jpegs, repeats):
    """Milliseconds a picture of each pass; the first pass warms up and does not count."""
    milliseconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        for jpeg in jpegs:
            picture = decode(jpeg)
            for _ in range(2):
                result = view(picture)
                assert tuple(result.shape) == (3, SIZE, SIZE), result.shape
        milliseconds.append(1000 * (time.perf_counter() - start) / len(jpegs))
    return milliseconds[1:]


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=pathlib.Path, required=True, help="folder tree of JPEG files")
    parser.add_argument("--pictures", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=3)
    return parser, parser.parse_args()


def main():
    parser, options = parse_options()
    files = sorted(path for path in options.root.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"})
    jpegs = [path.read_bytes() for path in files[: options.pictures]]
    if not jpegs:
        parser.error(f"no JPEG files below {options.root}")
    torch.set_num_threads(1)
    for peer in PEERS:
        random.seed(0)
        torch.manual_seed(0)
        try:
            decode, view, versions = peer()
        except ImportError as error:
            print(json.dumps({"loader": peer.__name__, "skipped": str(error)}), flush=True)
            continue
        passes = measure(decode, view, jpegs, options.repeats)
        outcome = {
            "loader": peer.__name__,
            "ms_per_picture_minimum": round(min(passes), 3),
            "ms_per_picture_median": round(statistics.median(passes), 3),
            "pictures": len(jpegs),
            "repeats": options.repeats,
        }
        print(json.dumps(outcome | versions), flush=True)


if __name__ == "__main__":
    main()
