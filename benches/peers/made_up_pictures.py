"""Writes made-up JPEG pictures of 500 x 375 pixels and about 110 kB, the size of ImageNet's: smooth shapes, edges and noise.

    python3 made_up_pictures.py FOLDER --count 120
"""

import argparse
import pathlib

import numpy
from PIL import Image

WIDTH, HEIGHT = 500, 375
GRAIN = 18  # of 255; it settles the size of the files
QUALITY = 90


def picture(generator):
    """Colours that vary on three scales, with the edges that a threshold makes, and grain."""
    pixels = numpy.full((HEIGHT, WIDTH, 3), 128.0)
    for cells, strength in [(4, 60), (16, 40), (64, 25)]:
        coarse = generator.uniform(-1, 1, (cells, cells, 3)).astype(numpy.float32)
        planes = [Image.fromarray(coarse[..., c]).resize((WIDTH, HEIGHT), Image.BICUBIC) for c in range(3)]
        field = numpy.stack([numpy.asarray(plane) for plane in planes], axis=2)
        pixels += strength * (field + 0.5 * numpy.sign(field[..., :1]))
    pixels += GRAIN * generator.standard_normal((HEIGHT, WIDTH, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(numpy.uint8))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=120)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for number in range(options.count):
        made = picture(numpy.random.default_rng(number))
        made.save(options.folder / f"{number:04}.jpg", quality=QUALITY, subsampling="4:2:0")


if __name__ == "__main__":
    main()
