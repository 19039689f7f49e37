"""One step of unsupervised segmentation in PyTorch, the peer that `densesiam bench segment-step` is compared with.

The work is the released step, part by part: ResNet-18 and the simplified FPN on both views, the crop and flip of view 1
applied to the features of view 2 picture by picture, PixSim, the auxiliary head, cross-entropy against the own argmax with
the released class weights, RegionSim (computed at every step, as the release does; its weight is 0 until its start),
backward, SGD. The pictures are made up; a "picture" is both of its views. Each variant runs in a process of its own, so
that its peak memory is its own; a variant's name is a choice of the words `fp32`, `bf16`, `channels_last` and `compile`.
Prints one JSON object a line.

    python3 segment_step.py --size 160 --batch 32 --steps 5 --warmup 2 --threads 2 --variants fp32,channels_last,bf16

Made for torch 2.11 and torchvision 0.26.
"""

import argparse
import math

import step
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

WIDTH = 128
AUXILIARY = 128
TEMPERATURE = 0.1


class Pyramid(nn.Module):
    """Lateral 1x1 convolutions with bias, summed top down; no norm, no 3x3."""

    def __init__(self, channels):
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(width, WIDTH, 1) for width in channels)

    def forward(self, maps):
        out = None
        for lateral, below in zip(self.laterals, reversed(maps)):
            here = lateral(below)
            if out is not None:
                out = F.interpolate(out, size=here.shape[2:], mode="bilinear", align_corners=False)
                here = here + out
            out = here
        return out


def pixel_projector(classes):
    hidden = [nn.Conv2d(WIDTH, WIDTH, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True)]
    again = [nn.Conv2d(WIDTH, WIDTH, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True)]
    return nn.Sequential(*hidden, *again, nn.Conv2d(WIDTH, classes, 1), nn.BatchNorm2d(classes, affine=False))


def pixel_predictor(classes):
    hidden = [nn.Conv2d(classes, WIDTH, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True)]
    return nn.Sequential(*hidden, nn.Conv2d(WIDTH, classes, 1))


def region_projector():
    hidden = [nn.Linear(WIDTH, WIDTH, bias=False), nn.BatchNorm1d(WIDTH), nn.ReLU(inplace=True)]
    again = [nn.Linear(WIDTH, WIDTH, bias=False), nn.BatchNorm1d(WIDTH), nn.ReLU(inplace=True)]
    return nn.Sequential(*hidden, *again, nn.Linear(WIDTH, WIDTH, bias=False), nn.BatchNorm1d(WIDTH, affine=False))


def region_predictor():
    hidden = [nn.Linear(WIDTH, WIDTH, bias=False), nn.BatchNorm1d(WIDTH), nn.ReLU(inplace=True)]
    return nn.Sequential(*hidden, nn.Linear(WIDTH, WIDTH))


class Segmenter(nn.Module):
    def __init__(self, arch, classes):
        super().__init__()
        resnet = getattr(torchvision.models, arch)(weights=None)
        resnet.fc = nn.Identity()
        self.resnet = resnet
        expansion = resnet.layer1[-1].conv3.out_channels // 64 if hasattr(resnet.layer1[-1], "conv3") else 1
        self.pyramid = Pyramid([width * expansion for width in (512, 256, 128, 64)])
        self.projector, self.predictor = pixel_projector(classes), pixel_predictor(classes)
        self.aux_projector, self.aux_predictor = pixel_projector(AUXILIARY), pixel_predictor(AUXILIARY)
        self.region_projector, self.region_predictor = region_projector(), region_predictor()
        total = math.log(AUXILIARY) + math.log(classes)
        self.pixel_weight, self.aux_weight = math.log(AUXILIARY) / total, math.log(classes) / total

    def features(self, pictures):
        r = self.resnet
        x = r.maxpool(r.relu(r.bn1(r.conv1(pictures))))
        maps = []
        for stage in (r.layer1, r.layer2, r.layer3, r.layer4):
            x = stage(x)
            maps.append(x)
        return self.pyramid(maps)

    def logits(self, pictures):
        return self.projector(self.features(pictures))

    def forward(self, view1, view2, crops, region_weight):
        """`crops` holds row, column, side (in cells) and flip of every picture; returns the loss."""
        f1 = self.features(view1)
        f2 = crop_features(self.features(view2), crops)
        z1, z2 = self.projector(f1), self.projector(f2)
        pixel = similarity(self.predictor, z1, z2)
        auxiliary = similarity(self.aux_predictor, self.aux_projector(f1), self.aux_projector(f2))
        labelling = (labelling_loss(z1) + labelling_loss(z2)) / 2
        (r1, q1), (r2, q2) = self.regions(f1, z1), self.regions(f2, z2)
        region = (contrast(q1, r2) + contrast(q2, r1)) / 2
        return self.pixel_weight * pixel + self.aux_weight * auxiliary + labelling + region_weight * region

    def regions(self, f, z):
        embeddings = torch.einsum("bnyx,bcyx->bnc", z.softmax(dim=1), f)
        r = self.region_projector(embeddings.flatten(0, 1))
        batch_and_classes = embeddings.shape[:2]
        return r.unflatten(0, batch_and_classes), self.region_predictor(r).unflatten(0, batch_and_classes)


def crop_features(features, crops):
    """As released: each picture's whole cells, scaled back to the full map, mirrored where view 1 is."""
    size = features.shape[2:]
    cropped = []
    for feature, (row, column, side, flip) in zip(features, crops):
        part = feature[None, :, row : row + side, column : column + side]
        part = F.interpolate(part, size=size, mode="bilinear", align_corners=False)
        cropped.append(part.flip(3) if flip else part)
    return torch.cat(cropped)


def similarity(predictor, z1, z2):
    def distance(p, z):
        return -(z.detach().float().softmax(dim=1) * p.float().log_softmax(dim=1)).sum(dim=1).mean()

    return (distance(predictor(z1), z2) + distance(predictor(z2), z1)) / 2


def labelling_loss(z):
    """Cross-entropy with the released weights: a class's share of the batch's pixels, plain mean."""
    labels = z.detach().argmax(dim=1)
    shares = labels.flatten().bincount(minlength=z.shape[1]).float() / labels.numel()
    return F.cross_entropy(z.float(), labels, weight=shares, reduction="none").mean()


def contrast(q, r):
    """Each region against the other regions of its own picture."""
    logits = F.normalize(q.float(), dim=2) @ F.normalize(r.float(), dim=2).transpose(1, 2) / TEMPERATURE
    return -logits.log_softmax(dim=2).diagonal(dim1=1, dim2=2).mean()


def made_up_batch(options, memory_format):
    generator = torch.Generator().manual_seed(0)
    views = torch.randn(2, options.batch, 3, options.size, options.size, generator=generator)
    cells = options.size // 4
    crops = []
    for ratio, down, right, flip in torch.rand(options.batch, 4, generator=generator).tolist():
        side = int(cells * (0.5 + 0.5 * ratio))
        crops.append((round((cells - side) * down), round((cells - side) * right), side, flip < 0.5))
    return [view.to(options.device).contiguous(memory_format=memory_format) for view in views], crops


def run_variant(variant, options):
    """Trains for a few steps in one variant; called in a fresh process."""
    step.begin(options)
    memory_format = step.memory_format_of(variant)
    model = Segmenter(options.arch, options.classes).to(options.device, memory_format=memory_format).train()
    rate = 0.05 * options.batch / 256
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9, weight_decay=1e-4)
    forward, precision = step.compiled_if_asked(variant, model), step.precision_of(variant, options)
    (view1, view2), crops = made_up_batch(options, memory_format)

    def losses_of_step():
        with precision:
            return {"total": forward(view1, view2, crops, options.region_weight)}

    told, losses = step.time_steps(variant, options, optimizer, losses_of_step)
    return told | {"loss": losses["total"]}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    step.add_arguments(parser, arch="resnet18", size=160, batch=32)
    parser.add_argument("--classes", type=int, default=11, help="pseudo-categories")
    parser.add_argument("--region-weight", type=float, default=0.0, help="0 before RegionSim's start, 0.1 after it")
    step.run_variants(run_variant, step.parse(parser))


if __name__ == "__main__":
    main()
