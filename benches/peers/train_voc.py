"""Trains Faster R-CNN C4 in PyTorch on a folder in VOC's form, as `densesiam transfer voc_folder` does, and detects in a split.

    python3 train_voc.py MY_SET --out found --weights encoder.safetensors --steps 510 --seed 1
    densesiam evaluate --detections found --ground-truth MY_SET --split val

The defaults are those of the recipe `voc_folder`. Durations are steps, or shares of the training if they have a point. Weights
are an encoder's by torchvision's names, `encoder.` before them or not, and random without. Every 20 steps it prints a JSON
object with the mean loss and the pictures a second; the last object tells where the detections are: in VOC's form a file for
each class, in COCO's `results.json` with the pictures and categories that densesiam's own has.

Made for torch 2.11 and torchvision 0.26.
"""

import argparse
import json
import pathlib
import random
import time
import xml.etree.ElementTree
from dataclasses import dataclass

import numpy
import step
import torch
from detectors import Settings, decayed, faster_rcnn_c4
from PIL import Image, ImageOps
from safetensors.torch import load_file
from torch import nn

LOGGED = 20
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


# ---- data


@dataclass
class Picture:
    path: pathlib.Path
    size: tuple  # width and height
    boxes: torch.Tensor  # [objects, 4], continuous corners in its pixels
    names: list  # the objects' classes


def read_split(root, split):
    """The pictures of a split, in the order of their paths."""
    names = (root / "ImageSets/Main" / f"{split}.txt").read_text().split()
    return [read_picture(root, name) for name in sorted(set(names))]


def read_picture(root, name):
    tree = xml.etree.ElementTree.parse(root / "Annotations" / f"{name}.xml").getroot()
    objects = tree.findall("object")
    edges = ("xmin", "ymin", "xmax", "ymax")
    corners = [[float(each.find("bndbox").findtext(edge)) for edge in edges] for each in objects]
    # Files number pixels from 1 and include the last.
    boxes = torch.tensor(corners).reshape(-1, 4) - torch.tensor([1.0, 1.0, 0.0, 0.0])
    path = root / "JPEGImages" / f"{name}.jpg"
    size = ImageOps.exif_transpose(Image.open(path)).size
    return Picture(path, size, boxes, [each.findtext("name").strip() for each in objects])


def resized(size, short, longest):
    """Width and height with a shorter side of `short`, or a longer of `longest` if it would exceed that (detectron2)."""
    scale = short / min(size)
    scale *= min(1.0, longest / (scale * max(size)))
    return tuple(max(1, int(side * scale + 0.5)) for side in size)


def normalised(path, size):
    """`[3, height, width]`, scaled with antialiasing."""
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB").resize(size, Image.Resampling.BILINEAR)
    levels = torch.from_numpy(numpy.array(picture, dtype=numpy.float32)).permute(2, 0, 1) / 255
    return (levels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


class Batches(torch.utils.data.Dataset):
    """The batch of each step, a function of seed and step."""

    def __init__(self, pictures, classes, options, steps):
        self.pictures, self.classes, self.options = pictures, classes, options
        self.visits = visits(pictures, options.batch, steps, options.seed)

    def __len__(self):
        return len(self.visits)

    def __getitem__(self, number):
        return tuple(zip(*(self.view(*visit) for visit in self.visits[number])))

    def view(self, epoch, sample):
        picture, options = self.pictures[sample], self.options
        drawn = random.Random(f"{options.seed} {epoch} {sample}")
        size = resized(picture.size, drawn.choice(options.short_sides), options.longest_side)
        flip = drawn.random() < options.flip
        tensor = normalised(picture.path, size)
        boxes = picture.boxes * torch.tensor([new / old for new, old in zip(size, picture.size)] * 2)
        if flip:
            tensor = tensor.flip(2)
            boxes = torch.stack([size[0] - boxes[:, 2], boxes[:, 1], size[0] - boxes[:, 0], boxes[:, 3]], dim=1)
        boxes = clipped(boxes, size)
        kept = (boxes[:, 2:] - boxes[:, :2] > 1e-5).all(dim=1)
        labels = torch.tensor([1 + self.classes.index(name) for name in picture.names])
        return tensor, {"boxes": boxes[kept], "labels": labels[kept]}


def clipped(boxes, size):
    return boxes.clamp(min=0).minimum(torch.tensor([*size, *size]))


def visits(pictures, batch, steps, seed):
    """Epoch and number of the pictures of each step: shuffles without end, in which wide pictures and others wait for a batch
    of their own."""
    batches, waiting, epoch = [], {True: [], False: []}, 0
    while len(batches) < steps:
        order = list(range(len(pictures)))
        random.Random(f"{seed} {epoch}").shuffle(order)
        for sample in order:
            group = waiting[pictures[sample].size[0] > pictures[sample].size[1]]
            group.append((epoch, sample))
            if len(group) == batch:
                batches.append(group[:])
                group.clear()
        epoch += 1
    return batches[:steps]


# ---- training


def load_encoder(model, path):
    """Fills all of the encoder, of which the last stage is the head of the boxes, or refuses."""
    found = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu")
    found = {name.removeprefix("encoder."): tensor for name, tensor in found.get("state_dict", found).items()}
    last_stage = model.roi_heads.box_head.layer4.state_dict(prefix="layer4.")
    own = model.backbone.state_dict() | last_stage
    own = {name: tensor for name, tensor in own.items() if not name.endswith("num_batches_tracked")}
    if missing := own.keys() - found.keys():
        raise SystemExit(f"error: {path} lacks {sorted(missing)[:5]}")
    for name, tensor in own.items():
        tensor.copy_(found[name])


def learning_rate(number, options):
    """The factor of the peak rate."""
    if number < options.warmup:
        done = number / options.warmup
        return options.warmup_share * (1 - done) + done
    return 0.1 ** sum(milestone <= number for milestone in options.milestones)


def train(model, batches, options):
    peak = options.base_learning_rate * options.batch / 256
    groups = decayed(model, options.weight_decay)
    optimizer = torch.optim.SGD(groups, peak, momentum=options.momentum, fused=True)
    model.train()
    recent, start = [], time.perf_counter()
    for number, (pictures, targets) in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = peak * learning_rate(number, options)
        losses = losses_of(model, pictures, targets, options)
        optimizer.zero_grad(set_to_none=True)
        sum(losses.values()).backward()
        optimizer.step()
        recent.append({name: loss.item() for name, loss in losses.items()})
        if len(recent) == LOGGED or number + 1 == options.steps:
            seconds = time.perf_counter() - start
            means = {name: round(sum(of[name] for of in recent) / len(recent), 5) for name in recent[0]}
            told = {"step": number + 1, "loss": round(sum(means.values()), 5)} | means
            told["pictures_per_second"] = round(len(recent) * options.batch / seconds, 3)
            print(json.dumps(told | {"learning_rate": group["lr"]}), flush=True)
            recent, start = [], time.perf_counter()


def losses_of(model, pictures, targets, options):
    pictures = [picture.to(options.device) for picture in pictures]
    targets = [{name: tensor.to(options.device) for name, tensor in target.items()} for target in targets]
    with step.precision_of(options.variant, options):
        return model(pictures, targets)


@torch.no_grad()
def measure_statistics(model, batches, options):
    """Gives all batch norms the statistics of these batches under fixed weights."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    sums = {norm: [0, 0.0, 0.0] for norm in norms}

    def add(norm, inputs):
        values = inputs[0].float()
        variance, mean = torch.var_mean(values, dim=(0, 2, 3), correction=0)
        count = values.numel() / values.shape[1]
        parts = [count, count * mean.double(), count * (variance.double() + mean.double() ** 2)]
        sums[norm] = [total + part for total, part in zip(sums[norm], parts)]

    hooks = [norm.register_forward_pre_hook(add) for norm in norms]
    for pictures, targets in batches:
        losses_of(model, pictures, targets, options)
    for hook in hooks:
        hook.remove()
    for norm, (count, total, squares) in sums.items():
        norm.running_mean.copy_(total / count)
        norm.running_var.copy_(squares / count - (total / count) ** 2)


# ---- detection


@torch.inference_mode()
def detect(model, pictures, options):
    """The detections in each picture, alone: number of the picture, label, score, and box in its own pixels."""
    model.eval()
    for number, picture in enumerate(pictures):
        size = resized(picture.size, options.short_side, options.longest_side)
        with step.precision_of(options.variant, options):
            found = model([normalised(picture.path, size).to(options.device)])[0]
        boxes = found["boxes"].cpu() * torch.tensor([old / new for new, old in zip(size, picture.size)] * 2)
        found["boxes"] = clipped(boxes, picture.size)
        for box, score, label in zip(*(found[name].tolist() for name in ("boxes", "scores", "labels"))):
            if box[2] > box[0] and box[3] > box[1]:
                yield number, label, score, box


def write(detections, pictures, classes, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(classes):
        lines = [
            f"{pictures[number].path.stem} {score} {x0 + 1} {y0 + 1} {x1} {y1}\n"
            for number, label, score, (x0, y0, x1, y1) in detections
            if label == place + 1
        ]
        (folder / f"comp4_det_test_{name}.txt").write_text("".join(lines))
    results = [
        {"image_id": number, "category_id": label, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": score}
        for number, label, score, (x0, y0, x1, y1) in detections
    ]
    (folder / "results.json").write_text(json.dumps(results))


# ---- the whole


def numbers(kind):
    """The type of an option that takes several, with commas between them."""
    return lambda text: [kind(number) for number in text.split(",")]


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=pathlib.Path, help="a folder with Annotations, ImageSets and JPEGImages")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the folder of the detections")
    parser.add_argument("--train", default="train", help="the split that is learned")
    parser.add_argument("--val", default="val", help="the split that is detected in")
    parser.add_argument("--weights", type=pathlib.Path, help="the encoder, as safetensors or torch.save")
    parser.add_argument("--depth", type=int, choices=[18, 50], default=18)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, help="10 epochs of whole batches")
    parser.add_argument("--short-sides", type=numbers(int), default=[192, 224, 256], help="one is drawn for a picture")
    parser.add_argument("--short-side", type=int, default=224, help="of pictures that are detected in")
    parser.add_argument("--longest-side", type=int, default=400)
    parser.add_argument("--flip", type=float, default=0.5, help="probability of a mirrored picture")
    parser.add_argument("--anchor-sizes", type=numbers(float), default=[16.0, 32.0, 64.0, 128.0, 256.0])
    parser.add_argument("--pre-nms", type=numbers(int), default=[2000, 1000], help="in training and evaluation")
    parser.add_argument("--post-nms", type=numbers(int), default=[500, 300], help="in training and evaluation")
    parser.add_argument("--rois", type=int, default=128, help="boxes of a picture that are learned from")
    parser.add_argument("--base-learning-rate", type=float, default=0.64, help="for 256 pictures a step")
    parser.add_argument("--warmup", default="0.1")
    parser.add_argument("--warmup-share", type=float, default=0.001, help="of the rate, in the first step")
    parser.add_argument("--milestones", type=numbers(str), default=["0.75", "0.9"], help="the rate falls to a tenth")
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--precise-batches", type=int, default=200, help="for the statistics of norms; 0 for none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1, help="processes that read pictures")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--variant", default="fp32", help="one of those of transfer_step.py, without compile")
    return parser.parse_args()


def steps_of(duration, steps):
    return max(1, int(float(duration) * steps + 0.5)) if "." in duration else int(duration)


def main():
    options = parse_options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    pictures = [picture for picture in read_split(options.root, options.train) if picture.names]
    classes = sorted({name for picture in pictures for name in picture.names})
    options.steps = options.steps or 10 * (len(pictures) // options.batch)
    options.warmup = steps_of(options.warmup, options.steps)
    options.milestones = [steps_of(milestone, options.steps) for milestone in options.milestones]
    settings = Settings(tuple(options.anchor_sizes), options.pre_nms, options.post_nms, options.rois)
    model = faster_rcnn_c4(f"resnet{options.depth}", len(classes), settings)
    if options.weights:
        load_encoder(model, options.weights)
    model.to(options.device, memory_format=step.memory_format_of(options.variant))
    batches = Batches(pictures, classes, options, options.steps + options.precise_batches)

    def loader(numbers):
        of_numbers = torch.utils.data.Subset(batches, numbers)
        return torch.utils.data.DataLoader(of_numbers, batch_size=None, num_workers=options.workers)

    train(model, loader(range(options.steps)), options)
    if options.precise_batches:
        measure_statistics(model, loader(range(options.steps, len(batches))), options)
    validation = read_split(options.root, options.val)
    detections = list(detect(model, validation, options))
    write(detections, validation, classes, options.out)
    told = {"out": str(options.out), "pictures": len(validation), "detections": len(detections)}
    print(json.dumps(told | step.peak_memory(options.device) | step.versions()), flush=True)


if __name__ == "__main__":
    main()
