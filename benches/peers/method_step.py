"""One step of another pre-training method by lightly, the peer that `densesiam bench step method=...` is compared with.

The step is whole: the student's and the teacher's passes, loss, backward, fused SGD, and the update of teacher and queue.
Heads, losses, queues and momentum are lightly's; PixPro, which lightly lacks, is plain PyTorch. The pictures are made up;
a "picture" is both of its views. Each variant runs in a process of its own; a variant's name is a choice of the words
`fp32`, `bf16`, `channels_last` and `compile`. Prints one JSON object a line.

    python3 method_step.py --method moco_v2 --arch resnet18 --size 128 --batch 64 --queue 4096 --steps 5 --warmup 2 \
        --threads 2 --variants fp32,channels_last,bf16,bf16_channels_last

Encoder and heads have the widths and the parameters of ours. Where the programs could differ:

* MoCo v2, DenseCL: batch statistics of the whole batch on both sides; ours is run with `groups=1` in place of its 8 parts of
  a shuffled batch. It shuffles the keys even then, which changes nothing; this does not.
* DenseCL: lightly combines its parts in an example, whose queue of cells takes every matched key of a batch, as here. Ours
  takes one mean a picture, as the released code does. The rows of the losses and the length of the queues are the same.
* SimCLR: batch statistics of both views together, as in ours, so they pass as one batch.
* BYOL, PixPro: batch statistics of each view apart, so the views pass one after the other; in ours, as one batch. BYOL's
  heads are made of lightly's `ProjectionHead`, because its `BYOLProjectionHead` has the biases elsewhere.
* The teacher follows at the start of a step and not at the end of the one before, which gives the same weights.

Made for torch 2.11, torchvision 0.26 and lightly 1.6.
"""

import argparse
import copy

import lightly
import step
import torch
import torchvision
from lightly.loss import NegativeCosineSimilarity, NTXentLoss
from lightly.models.modules import DenseCLProjectionHead, MoCoProjectionHead, SimCLRProjectionHead
from lightly.models.modules.heads import ProjectionHead
from lightly.models.utils import deactivate_requires_grad, select_most_similar, update_momentum
from torch import nn
from torch.nn import functional as F


def encoder_of(arch):
    """A ResNet up to its last map, and the channels of that."""
    resnet = getattr(torchvision.models, arch)(weights=None, zero_init_residual=True)
    return nn.Sequential(*list(resnet.children())[:-2]), resnet.fc.in_features


def embedding(arch, head):
    """An encoder and what `head` makes for the channels of its pooled last map."""
    encoder, channels = encoder_of(arch)
    return nn.Sequential(encoder, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head(channels))


class Method(nn.Module):
    """A student and, of a method with a `momentum`, the teacher that follows it. `forward` passes both views, in the
    precision of the variant; `loss` takes what it returns, in fp32."""

    momentum = None

    def __init__(self, student):
        super().__init__()
        self.student = student
        if self.momentum:
            self.teacher = copy.deepcopy(student)
            deactivate_requires_grad(self.teacher)

    def follow(self):
        if self.momentum:
            update_momentum(self.student, self.teacher, self.momentum)


class MoCo(Method):
    momentum = 0.999

    def __init__(self, options):
        super().__init__(embedding(options.arch, lambda c: MoCoProjectionHead(c, c, 128)))
        self.contrast = NTXentLoss(temperature=0.2, memory_bank_size=(options.queue, 128))

    def forward(self, query, key):
        with torch.no_grad():
            key = self.teacher(key)
        return self.student(query), key

    def loss(self, query, key):
        return self.contrast(query, key)


class SimClr(Method):
    def __init__(self, options):
        super().__init__(embedding(options.arch, lambda c: SimCLRProjectionHead(c, c, 128)))
        self.contrast = NTXentLoss(temperature=0.1)

    def forward(self, one, two):
        return self.student(torch.cat([one, two])).chunk(2)

    def loss(self, one, two):
        return self.contrast(one, two)


class Byol(Method):
    momentum = 0.996

    def __init__(self, options):
        super().__init__(embedding(options.arch, lambda c: self.head(c)))
        self.predictor = self.head(256)
        self.distance = NegativeCosineSimilarity()

    @staticmethod
    def head(channels, hidden=4096, outputs=256):
        norm = nn.BatchNorm1d(hidden)
        return ProjectionHead(
            [(channels, hidden, norm, nn.ReLU(), True), (hidden, outputs, None, None, False)]
        )

    def forward(self, one, two):
        with torch.no_grad():
            targets = self.teacher(one), self.teacher(two)
        return self.predictor(self.student(one)), self.predictor(self.student(two)), *targets

    def loss(self, one, two, target_of_one, target_of_two):
        return 4 + 2 * (self.distance(one, target_of_two) + self.distance(two, target_of_one))


class DenseNetwork(nn.Module):
    """An encoder with a head for its pooled last map and one for every cell of it."""

    def __init__(self, arch):
        super().__init__()
        self.encoder, channels = encoder_of(arch)
        self.global_head = DenseCLProjectionHead(channels, 2048, 128)
        self.local_head = DenseCLProjectionHead(channels, 2048, 128)

    def forward(self, view):
        """Features of the cells `[B, cells, C]`, the projection of the view `[B, D]`, and of the cells `[B, cells, D]`."""
        map = self.encoder(view)
        cells = map.flatten(2).transpose(1, 2)
        return cells, self.global_head(map.mean(dim=(2, 3))), self.local_head(cells)


class DenseCl(Method):
    momentum = 0.999

    def __init__(self, options):
        super().__init__(DenseNetwork(options.arch))
        self.global_contrast, self.local_contrast = (
            NTXentLoss(temperature=0.2, memory_bank_size=(options.queue, 128)) for _ in range(2)
        )

    def forward(self, query, key):
        with torch.no_grad():
            key = self.teacher(key)
        return *self.student(query), *key

    def loss(self, query_cells, query, query_local, key_cells, key, key_local):
        matched = select_most_similar(query_cells.detach(), key_cells, key_local)
        local = self.local_contrast(query_local.flatten(0, 1), matched.flatten(0, 1))
        return (self.global_contrast(query, key) + local) / 2


class PixPro(Method):
    momentum = 0.99

    def __init__(self, options):
        encoder, channels = encoder_of(options.arch)
        hidden = [nn.Conv2d(channels, 4096, 1), nn.BatchNorm2d(4096), nn.ReLU(inplace=True)]
        super().__init__(nn.Sequential(encoder, *hidden, nn.Conv2d(4096, 256, 1)))
        self.value = nn.Conv2d(256, 256, 1)
        self.register_buffer("boxes", made_up_boxes(options.batch))

    def forward(self, one, two):
        with torch.no_grad():
            targets = self.teacher(one), self.teacher(two)
        one, two = self.student(one), self.student(two)
        return one, two, self.value(one), self.value(two), *targets

    def loss(self, one, two, value_of_one, value_of_two, target_of_one, target_of_two):
        pairs = close_pairs(self.boxes, one.shape[-1])
        forth = cosine_of_pairs(propagated(one, value_of_one), target_of_two, pairs)
        back = cosine_of_pairs(propagated(two, value_of_two), target_of_one, pairs.transpose(1, 2))
        return -2 * (forth + back)


def propagated(x, value):
    """Each cell as the sum of all cells' values, weighted by the square of their similarity to it: `[B, D, cells]`."""
    x, value = F.normalize(x.flatten(2), dim=1), F.normalize(value.flatten(2), dim=1)
    return value @ (x.transpose(1, 2) @ x).clamp(min=0) ** 2


def cosine_of_pairs(y, target, pairs):
    """The mean over the pairs of cells of a sample, and then over the samples."""
    cosine = F.normalize(y, dim=1).transpose(1, 2) @ F.normalize(target.flatten(2), dim=1)
    return ((cosine * pairs).sum(dim=(1, 2)) / (pairs.sum(dim=(1, 2)) + 1e-6)).mean()


def made_up_boxes(batch):
    """The first and last corners of both views in shares of the picture, `[view, corner, B, 2]`; half of them mirrored."""
    low, high = torch.rand(2, batch, 2) * 0.4, 0.6 + torch.rand(2, batch, 2) * 0.4
    boxes = torch.stack([low, high], dim=1)
    mirrored = torch.rand(2, 1, batch) < 0.5
    boxes[..., 0] = torch.where(mirrored, boxes[..., 0].flip(1), boxes[..., 0])
    return boxes


def close_pairs(boxes, cells):
    """1 for the pairs of cells whose centres are closer than 0.7 of the larger diagonal of a cell, `[B, cells, cells]`."""
    places = (torch.arange(cells, device=boxes.device) + 0.5) / cells
    y, x = torch.meshgrid(places, places, indexing="ij")
    shares = torch.stack([x, y], dim=-1).flatten(0, 1)
    sides = boxes[:, 1] - boxes[:, 0]
    one, two = boxes[:, 0, :, None] + shares * sides[:, :, None]
    limit = 0.7 * sides.norm(dim=-1).amax(dim=0) / cells
    return (torch.cdist(one, two) < limit[:, None, None]).float()


METHODS = {"moco_v2": MoCo, "byol": Byol, "simclr": SimClr, "densecl": DenseCl, "pixpro": PixPro}


def made_up_views(options, memory_format):
    views = torch.randn(2, options.batch, 3, options.size, options.size)
    return [view.to(options.device).contiguous(memory_format=memory_format) for view in views]


def run_variant(variant, options):
    """Trains for a few steps in one variant; called in a fresh process."""
    step.begin(options)
    memory_format = step.memory_format_of(variant)
    method = METHODS[options.method](options).to(options.device, memory_format=memory_format).train()
    rate = 0.05 * options.batch / 256
    trained = [parameter for parameter in method.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, rate, momentum=0.9, weight_decay=1e-4, fused=True)
    forward, precision = step.compiled_if_asked(variant, method), step.precision_of(variant, options)
    views = made_up_views(options, memory_format)

    def losses_of_step():
        method.follow()
        with precision:
            outputs = forward(*views)
        return {"total": method.loss(*(output.float() for output in outputs))}

    told, losses = step.time_steps(variant, options, optimizer, losses_of_step)
    return told | {"losses": losses, "method": options.method, "lightly": lightly.__version__}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    step.add_arguments(parser, arch="resnet18", size=128, batch=64)
    parser.add_argument("--method", default="moco_v2", choices=METHODS)
    parser.add_argument("--queue", type=int, default=4096, help="keys in each queue")
    step.run_variants(run_variant, step.parse(parser))


if __name__ == "__main__":
    main()
