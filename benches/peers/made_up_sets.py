"""Writes made-up annotated pictures for the steps of transfer: label maps, VOC's format and COCO's, of the same square pictures.

    python3 made_up_sets.py FOLDER --size 256 --count 4 --objects 7

Boxes have a tenth to four tenths of the side, as those of transfer_step.py, and masks are polygons of the ellipses in them.
"""

import argparse
import json
import math
import pathlib

import numpy
from PIL import Image

VOC = "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person".split()
VOC += "pottedplant sheep sofa train tvmonitor".split()
CORNERS = 24


def ellipse(x0, y0, x1, y1):
    angles = [2 * math.pi * corner / CORNERS for corner in range(CORNERS)]
    across, down = (x1 - x0) / 2, (y1 - y0) / 2
    corners = [(x0 + across * (1 + math.cos(a)), y0 + down * (1 + math.sin(a))) for a in angles]
    return [round(float(value), 2) for corner in corners for value in corner]


def write_labels(root, name, picture, generator, size):
    labels = generator.integers(0, 19, (size, size))
    labels[generator.random((size, size)) < 0.05] = 255
    for split in ("train", "val"):
        for kind, image in [("images", picture), ("labels", Image.fromarray(labels.astype(numpy.uint8)))]:
            (root / split / kind).mkdir(parents=True, exist_ok=True)
            image.save(root / f"{split}/{kind}/{name}.png")
    (root / "classes.txt").write_text("".join(f"class {number}\n" for number in range(19)))


def write_voc(root, name, picture, objects, size):
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    picture.save(root / f"JPEGImages/{name}.jpg", quality=90)
    text = f"<annotation><size><width>{size}</width><height>{size}</height><depth>3</depth></size>"
    for x0, y0, x1, y1, number in objects:
        text += f"<object><name>{VOC[number % 20]}</name><difficult>0</difficult><bndbox><xmin>{x0 + 1:.1f}</xmin>"
        text += f"<ymin>{y0 + 1:.1f}</ymin><xmax>{x1:.1f}</xmax><ymax>{y1:.1f}</ymax></bndbox></object>"
    (root / f"Annotations/{name}.xml").write_text(text + "</annotation>")
    with open(root / "ImageSets/Main/train.txt", "a") as listed:
        listed.write(f"{name}\n")


def coco(number, name, objects, size):
    """A picture of COCO's annotations, and its objects."""
    annotations = [
        {
            "id": 1 + 1000 * number + place,
            "image_id": number,
            "category_id": kind + 1,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": math.pi / 4 * (x1 - x0) * (y1 - y0),
            "iscrowd": 0,
            "segmentation": [ellipse(x0, y0, x1, y1)],
        }
        for place, (x0, y0, x1, y1, kind) in enumerate(objects)
    ]
    return {"id": number, "file_name": f"{name}.jpg", "width": size, "height": size}, annotations


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--objects", type=int, default=7)
    options = parser.parse_args()
    size, pictures, annotations = options.size, [], []
    for kind in ("train", "annotations"):
        (options.folder / "coco" / kind).mkdir(parents=True)
    for number in range(options.count):
        generator, name = numpy.random.default_rng(number), f"{number:04}"
        picture = Image.fromarray(generator.integers(0, 256, (size, size, 3), dtype=numpy.uint8))
        low, sides = generator.random((2, options.objects, 2))
        corners = numpy.hstack([0.6 * low, 0.6 * low + 0.1 + 0.3 * sides]) * size
        objects = [(*map(float, box), int(generator.integers(80))) for box in corners]
        write_labels(options.folder / "labels", name, picture, generator, size)
        write_voc(options.folder / "voc", name, picture, objects, size)
        picture.save(options.folder / f"coco/train/{name}.jpg", quality=90)
        image, own = coco(number, name, objects, size)
        pictures.append(image)
        annotations += own
    categories = [{"id": number, "name": f"category {number}"} for number in range(1, 81)]
    document = {"images": pictures, "annotations": annotations, "categories": categories}
    (options.folder / "coco/annotations/instances_train.json").write_text(json.dumps(document))


if __name__ == "__main__":
    main()
