"""From JPEG files with COCO's annotations to the view of a detector's training on one core: the peer that
`densesiam bench transfer-loader` is compared with.

What detectron2's mapper does for Mask R-CNN, step by step, on Pillow and NumPy as there (detectron2 itself is on no package
registry): the file is decoded, turned upright, and made an array of BGR; the shorter side is drawn and the picture resized by
Pillow's bilinear filter; it is mirrored or not; boxes and polygons follow as float64 arrays; crowds and empty objects go; the
picture becomes a contiguous tensor of planes, boxes and classes tensors. Prints one JSON object.

    python3 detection_views.py --root COCO/train2017 --annotations COCO/annotations/instances_train2017.json --pictures 50
"""

import argparse
import copy
import json
import pathlib
import random
import statistics
import time

import numpy
import PIL
import step
import torch
from PIL import Image, ImageOps


def resized(height, width, short, longest):
    scale = short / min(height, width)
    new = [scale * height, scale * width]
    if max(new) > longest:
        new = [side * longest / max(new) for side in new]
    return [int(side + 0.5) for side in new]


def mapped(record, root, sides, longest, draw):
    record = copy.deepcopy(record)
    with open(root / record["file_name"], "rb") as file:
        picture = numpy.asarray(ImageOps.exif_transpose(Image.open(file)).convert("RGB"))[:, :, ::-1]
    height, width = picture.shape[:2]
    new_height, new_width = resized(height, width, draw.choice(sides), longest)
    flip = draw.random() < 0.5
    picture = numpy.asarray(Image.fromarray(picture).resize((new_width, new_height), Image.BILINEAR))
    if flip:
        picture = numpy.flip(picture, axis=1)

    def moved(points):
        points = numpy.asarray(points, dtype=numpy.float64).reshape(-1, 2) * [new_width / width, new_height / height]
        if flip:
            points[:, 0] = new_width - points[:, 0]
        return points

    boxes, classes, polygons = [], [], []
    for entry in record["annotations"]:
        if entry.get("iscrowd", 0):
            continue
        x, y, w, h = entry["bbox"]
        corners = moved([[x, y], [x + w, y], [x, y + h], [x + w, y + h]])
        box = numpy.concatenate([corners.min(axis=0), corners.max(axis=0)])
        box = numpy.minimum(box.clip(min=0), [new_width, new_height, new_width, new_height])
        boxes.append(box)
        classes.append(entry["category_id"])
        polygons.append([moved(polygon).reshape(-1) for polygon in entry["segmentation"]])
    boxes = torch.as_tensor(numpy.stack(boxes) if boxes else numpy.zeros((0, 4)), dtype=torch.float32)
    keep = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return {
        "image": torch.as_tensor(numpy.ascontiguousarray(picture.transpose(2, 0, 1))),
        "boxes": boxes[keep],
        "classes": torch.tensor(classes, dtype=torch.int64)[keep],
        "polygons": [own for own, kept in zip(polygons, keep.tolist(), strict=True) if kept],
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=pathlib.Path, required=True, help="folder of the pictures")
    parser.add_argument("--annotations", type=pathlib.Path, required=True)
    parser.add_argument("--sides", default="640,672,704,736,768,800")
    parser.add_argument("--longest", type=int, default=1333)
    parser.add_argument("--pictures", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=5, help="timed passes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    document = json.loads(options.annotations.read_text())
    records = {picture["id"]: picture | {"annotations": []} for picture in document["images"]}
    for entry in document["annotations"]:
        records[entry["image_id"]]["annotations"].append(entry)
    records = sorted(records.values(), key=lambda record: record["file_name"])
    records = [record for record in records if any(not entry["iscrowd"] for entry in record["annotations"])]
    records, sides = records[: options.pictures], [int(side) for side in options.sides.split(",")]
    draw, milliseconds = random.Random(0), []
    for _ in range(options.repeats + 1):
        start = time.perf_counter()
        for record in records:
            mapped(record, options.root, sides, options.longest, draw)
        milliseconds.append(1000 * (time.perf_counter() - start) / len(records))
    milliseconds = milliseconds[1:]
    line = {
        "variant": "mapper",
        "milliseconds_a_picture": {
            "median": round(statistics.median(milliseconds), 3),
            "minimum": round(min(milliseconds), 3),
        },
        "pictures_per_second_a_core": round(1000 / statistics.median(milliseconds), 2),
        "pictures": len(records),
        "repeats": options.repeats,
        **step.peak_memory(),
        "pillow": PIL.__version__,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
