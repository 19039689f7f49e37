"""Segmentation of pictures in PyTorch, the peer that `densesiam bench predict` is compared with.

From bytes to the pseudo-category of each pixel, as evaluation does it: normalisation, ResNet-18 and the simplified FPN, the
projector, bilinear upsampling to the size of the pictures, argmax; in `inference_mode`, batch norm with its running
statistics. The pictures are made up. Each variant runs in a process of its own; a variant's name is a choice of the words
`fp32`, `bf16`, `channels_last` and `compile`. Prints one JSON object a line.

    python3 predict.py --size 320 --batch 32 --steps 5 --warmup 1 --threads 2 --variants fp32,channels_last,bf16

Made for torch 2.11 and torchvision 0.26.
"""

import argparse

import step
import torch
from segment_step import Segmenter
from torch.nn import functional as F

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class Predictor(torch.nn.Module):
    """Pictures `[B, height, width, 3]` of bytes to categories `[B, height, width]`."""

    def __init__(self, segmenter, memory_format):
        super().__init__()
        self.segmenter, self.memory_format = segmenter, memory_format
        self.register_buffer("mean", 255 * torch.tensor(MEAN))
        self.register_buffer("std", 255 * torch.tensor(STD))

    def forward(self, pictures):
        normalised = (pictures.float() - self.mean) / self.std
        normalised = normalised.permute(0, 3, 1, 2).contiguous(memory_format=self.memory_format)
        logits = self.segmenter.logits(normalised).float()
        return F.interpolate(logits, pictures.shape[1:3], mode="bilinear", align_corners=False).argmax(dim=1)


def run_variant(variant, options):
    """Segments a few batches in one variant; called in a fresh process."""
    step.begin(options)
    memory_format = step.memory_format_of(variant)
    segmenter = Segmenter(options.arch, options.classes).to(memory_format=memory_format)
    predictor = Predictor(segmenter, memory_format).to(options.device).eval()
    forward, precision = step.compiled_if_asked(variant, predictor), step.precision_of(variant, options)
    pictures = torch.randint(256, (options.batch, options.size, options.size, 3), dtype=torch.uint8)

    def predict():
        with torch.inference_mode(), precision:
            forward(pictures.to(options.device)).flatten().cpu()

    return step.time_repeatedly(variant, options, predict)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    step.add_arguments(parser, arch="resnet18", size=320, batch=32)
    parser.add_argument("--classes", type=int, default=11, help="pseudo-categories")
    step.run_variants(run_variant, step.parse(parser))


if __name__ == "__main__":
    main()
