"""One pre-training step of DenseSiam in PyTorch, the peer that `densesiam bench step` is compared with.

The work is the whole of our step: two views pass separately through encoder and heads, global loss + PixSim + RegionSim
(switched on), backward, fused SGD. The pictures are made up; a "picture" is both of its views. Each variant runs in a
process of its own, so that its peak memory is its own; a variant's name is a choice of the words `fp32`, `bf16`,
`channels_last` and `compile`. Prints one JSON object a line.

    python3 pretrain_step.py --arch resnet50 --size 224 --batch 16 --steps 5 --warmup 2 --threads 2 \
        --variants fp32,channels_last,bf16,bf16_channels_last,compile

Made for torch 2.11 and torchvision 0.26.
"""

import argparse

import step
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

TEMPERATURE = 0.1
REGIONSIM_WEIGHT = 0.1
PIXEL_CHANNELS = 512  # channels of the PixSim projector = number of pseudo-categories


def conv1x1(inputs, outputs, bias=False):
    return nn.Conv2d(inputs, outputs, 1, bias=bias)


def linear(inputs, outputs, bias=False):
    return nn.Linear(inputs, outputs, bias=bias)


def projector(layer, norm, widths):
    """Layers without bias; BN and ReLU after each but the last, which has BN without affine and no ReLU."""
    modules = []
    for inputs, outputs in zip(widths[:-2], widths[1:-1]):
        modules += [layer(inputs, outputs), norm(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*modules, layer(widths[-2], widths[-1]), norm(widths[-1], affine=False))


def predictor(layer, norm, width, hidden):
    """Two layers: the first without bias, BN, ReLU; the last with bias and nothing behind it."""
    return nn.Sequential(
        layer(width, hidden), norm(hidden), nn.ReLU(inplace=True), layer(hidden, width, bias=True)
    )


class DenseSiam(nn.Module):
    def __init__(self, arch):
        super().__init__()
        resnet = getattr(torchvision.models, arch)(weights=None, zero_init_residual=True)
        c = resnet.fc.in_features
        n = PIXEL_CHANNELS
        self.encoder = nn.Sequential(*list(resnet.children())[:-2])
        self.global_projector = projector(linear, nn.BatchNorm1d, [c, c, c, c])
        self.global_predictor = predictor(linear, nn.BatchNorm1d, c, c // 4)
        self.pixel_projector = projector(conv1x1, nn.BatchNorm2d, [c, n, n, n])
        self.pixel_predictor = predictor(conv1x1, nn.BatchNorm2d, n, n)
        self.region_projector = projector(linear, nn.BatchNorm1d, [c, n, n, n])
        self.region_predictor = predictor(linear, nn.BatchNorm1d, n, n)

    def forward(self, view, grid):
        """All that the losses need of one view; `grid` holds the corresponding points, [B, K, K, 2]."""
        f = self.encoder(view)
        global_z = self.global_projector(f.mean(dim=(2, 3)))
        z = self.pixel_projector(f)
        p = self.pixel_predictor(z)
        f, z, p = sample(f, grid), sample(z, grid), sample(p, grid)
        embeddings = torch.einsum("bnyx,bcyx->bnc", z.softmax(dim=1), f)
        r = self.region_projector(embeddings.flatten(0, 1))
        return {
            "global_z": global_z,
            "global_p": self.global_predictor(global_z),
            "pixel_z": z,
            "pixel_p": p,
            "region_r": r.unflatten(0, embeddings.shape[:2]),
            "region_q": self.region_predictor(r).unflatten(0, embeddings.shape[:2]),
        }


def sample(features, grid):
    """Bilinear samples in fp32, whatever the precision of the features."""
    with torch.autocast(features.device.type, enabled=False):
        return F.grid_sample(features.float(), grid, padding_mode="border", align_corners=False)


def cosine_distance(p, z):
    return -F.cosine_similarity(p.float(), z.detach().float(), dim=1).mean()


def cross_entropy_distance(p, z):
    return -(z.detach().float().softmax(dim=1) * p.float().log_softmax(dim=1)).sum(dim=1).mean()


def contrast(q, r):
    """Each region against the other regions of its own picture."""
    similarity = F.normalize(q.float(), dim=2) @ F.normalize(r.float(), dim=2).transpose(1, 2)
    return -(similarity / TEMPERATURE).log_softmax(dim=2).diagonal(dim1=1, dim2=2).mean()


def losses_of(one, two):
    """Every loss in both directions, in fp32."""

    def both(distance, left, right):
        return (distance(one[left], two[right]) + distance(two[left], one[right])) / 2

    global_loss = both(cosine_distance, "global_p", "global_z")
    pixsim = both(cross_entropy_distance, "pixel_p", "pixel_z")
    regionsim = both(contrast, "region_q", "region_r")
    total = global_loss + pixsim + REGIONSIM_WEIGHT * regionsim
    return {"total": total, "global": global_loss, "pixsim": pixsim, "regionsim": regionsim}


def corresponding_grids(batch, k, generator):
    """Cell centres of the overlap of two random boxes, in the [-1, 1] coordinates of either; half of them mirrored."""
    low = torch.rand(2, batch, 2, generator=generator) * 0.4
    high = 0.6 + torch.rand(2, batch, 2, generator=generator) * 0.4
    start, end = low.amax(dim=0), high.amin(dim=0)
    centres = (torch.arange(k) + 0.5) / k
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    fractions = torch.stack([x, y], dim=-1)
    points = start[:, None, None] + fractions * (end - start)[:, None, None]
    grids = 2 * (points - low[:, :, None, None]) / (high - low)[:, :, None, None] - 1
    mirrored = torch.rand(2, batch, 1, 1, generator=generator) < 0.5
    grids[..., 0] = torch.where(mirrored, -grids[..., 0], grids[..., 0])
    return grids


def made_up_batch(options, memory_format):
    generator = torch.Generator().manual_seed(0)
    views = torch.randn(2, options.batch, 3, options.size, options.size, generator=generator)
    grids = corresponding_grids(options.batch, options.grid, generator)
    to_device = [view.to(options.device).contiguous(memory_format=memory_format) for view in views]
    return to_device, [grid.to(options.device) for grid in grids]


def run_variant(variant, options):
    """Trains for a few steps in one variant; called in a fresh process."""
    step.begin(options)
    memory_format = step.memory_format_of(variant)
    model = DenseSiam(options.arch).to(options.device, memory_format=memory_format).train()
    rate = 0.05 * options.batch / 256
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9, weight_decay=1e-4, fused=True)
    forward, precision = step.compiled_if_asked(variant, model), step.precision_of(variant, options)
    views, grids = made_up_batch(options, memory_format)

    def losses_of_step():
        with precision:
            one, two = (forward(view, grid) for view, grid in zip(views, grids))
        return losses_of(one, two)

    told, losses = step.time_steps(variant, options, optimizer, losses_of_step)
    return told | {"losses": losses}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    step.add_arguments(parser, arch="resnet50", size=224, batch=16)
    parser.add_argument("--grid", type=int, default=7, help="points along a side of the overlap")
    step.run_variants(run_variant, step.parse(parser))


if __name__ == "__main__":
    main()
