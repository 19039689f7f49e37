"""One training step of transfer in PyTorch, the peer of our recipes of segmentation and detection with labels.

The work is a whole step on made-up pictures: forward, losses, backward, fused SGD. `--model fcn` is FCN-D8 of
`cityscapes_fcn_d8_40k`, `c4` the Faster R-CNN of `voc_faster_rcnn_c4_24k`, `fpn` the Mask R-CNN of `coco_mask_rcnn_fpn_1x`
(detectors.py). `--inference` times detection instead: boxes, and masks of 28 x 28 pixels, of pictures as large. Of a detector
`compile` compiles backbone, RPN head and box head; what chooses boxes has no fixed shapes. Each variant runs in a process of
its own, so that its peak memory is its own; a variant's name is a choice of the words `fp32`, `bf16`, `channels_last` and
`compile`. Prints one JSON object a line.

    python3 transfer_step.py --model fcn --size 385 --batch 4 --steps 5 --warmup 2 --threads 2 \
        --variants fp32,channels_last,bf16,bf16_channels_last
    python3 transfer_step.py --model c4 --size 480 --batch 2 --objects 3
    python3 transfer_step.py --model fpn --size 640 --batch 1 --inference

Made for torch 2.11 and torchvision 0.26.
"""

import argparse

import step
import torch
import torchvision
from detectors import Settings, decayed, faster_rcnn_c4, mask_rcnn_fpn
from torch import nn
from torch.nn import functional as F

IGNORED = 255
# Of each model: learning rate for 256 pictures, weight decay, classes.
RECIPES = {"fcn": (0.16, 5e-4, 19), "c4": (0.32, 1e-4, 20), "fpn": (0.32, 1e-4, 80)}


class Fcn(nn.Module):
    """FCN-D8: a ResNet of stride 8, a head on C5 and an auxiliary one on C4. The forward pass ends with the losses."""

    def __init__(self, arch, classes):
        super().__init__()
        dilated = [False, True, True]
        resnet = getattr(torchvision.models, arch)(
            weights=None, zero_init_residual=True, replace_stride_with_dilation=dilated
        )
        c5, c4 = resnet.fc.in_features, resnet.fc.in_features // 2
        stages = list(resnet.children())[:-2]
        self.to_c4, self.to_c5 = nn.Sequential(*stages[:-1]), stages[-1]
        self.convs = nn.Sequential(normed(c5, 512), normed(512, 512))
        self.conv_cat, self.conv_seg = normed(c5 + 512, 512), classifier(512, classes)
        self.auxiliary = nn.Sequential(normed(c4, 256), nn.Dropout2d(0.1), classifier(256, classes))
        self.dropout = nn.Dropout2d(0.1)

    def forward(self, pictures, labels):
        c4 = self.to_c4(pictures)
        c5 = self.to_c5(c4)
        joined = self.conv_cat(torch.cat([c5, self.convs(c5)], dim=1))
        main = label_loss(self.conv_seg(self.dropout(joined)), labels)
        return {"loss_main": main, "loss_auxiliary": 0.4 * label_loss(self.auxiliary(c4), labels)}


def normed(inputs, outputs):
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def classifier(inputs, classes):
    layer = nn.Conv2d(inputs, classes, 1)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer


def label_loss(logits, labels):
    """Cross-entropy as a mean over all pixels, of which ignored ones count as 0."""
    enlarged = F.interpolate(logits.float(), labels.shape[1:], mode="bilinear", align_corners=True)
    return F.cross_entropy(enlarged, labels, ignore_index=IGNORED, reduction="sum") / labels.numel()


def detector(options, classes):
    c4 = options.model == "c4"
    settings = Settings() if c4 else Settings(pre_nms=(2000, 1000), post_nms=(1000, 1000))
    settings.rois, settings.score_threshold = options.rois, options.score_threshold
    settings.proposal_nms_threshold = options.proposal_nms_threshold
    return (faster_rcnn_c4 if c4 else mask_rcnn_fpn)(options.arch, classes, settings)


def compiled_if_asked(variant, model):
    if isinstance(model, Fcn):
        return step.compiled_if_asked(variant, model)
    if "compile" in variant:
        for part in (model.backbone, model.rpn.head, model.roi_heads.box_head):
            part.compile()
    return model


# ---- what is made up


def made_up_labels(options, classes, generator):
    """`[batch, size, size]`, of which one in twenty is ignored."""
    shape = (options.batch, options.size, options.size)
    labels = torch.randint(classes, shape, generator=generator)
    return labels.masked_fill(torch.rand(shape, generator=generator) < 0.05, IGNORED)


def made_up_objects(options, classes, generator):
    """Of one picture: boxes of a tenth to four tenths of its side, with the ellipses in them as masks."""
    low, sides = torch.rand(2, options.objects, 2, generator=generator)
    boxes = torch.cat([0.6 * low, 0.6 * low + 0.1 + 0.3 * sides], dim=1) * options.size
    objects = {"boxes": boxes, "labels": torch.randint(1, classes + 1, (len(boxes),), generator=generator)}
    if options.model == "fpn":
        centres, radii = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
        pixels = torch.arange(options.size) + 0.5
        across, down = (((pixels - centres[:, axis, None]) / radii[:, axis, None]) ** 2 for axis in (0, 1))
        objects["masks"] = (down[:, :, None] + across[:, None, :] <= 1).byte()
    return {name: tensor.to(options.device) for name, tensor in objects.items()}


def made_up_batch(options, classes, memory_format):
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(options.batch, 3, options.size, options.size, generator=generator)
    pictures = pictures.to(options.device).contiguous(memory_format=memory_format)
    if options.model == "fcn":
        return pictures, made_up_labels(options, classes, generator).to(options.device)
    return list(pictures), [made_up_objects(options, classes, generator) for _ in range(options.batch)]


# ---- measuring


def run_variant(variant, options):
    """Trains, or detects, for a few steps in one variant; called in a fresh process."""
    step.begin(options)
    rate, weight_decay, classes = RECIPES[options.model]
    classes = options.classes or classes
    is_fcn = options.model == "fcn"
    model = Fcn(options.arch, classes) if is_fcn else detector(options, classes)
    memory_format = step.memory_format_of(variant)
    model.to(options.device, memory_format=memory_format)
    forward, precision = compiled_if_asked(variant, model), step.precision_of(variant, options)
    pictures, targets = made_up_batch(options, classes, memory_format)
    if options.inference:
        return {"model": options.model} | time_inference(variant, options, forward.eval(), pictures)
    groups = model.parameters() if is_fcn else decayed(model, weight_decay)
    rate *= options.batch / 256
    optimizer = torch.optim.SGD(groups, rate, momentum=0.9, weight_decay=weight_decay, fused=True)
    forward.train()

    def losses_of_step():
        with precision:
            losses = forward(pictures, targets)
        return losses | {"total": sum(losses.values())}

    told, losses = step.time_steps(variant, options, optimizer, losses_of_step)
    boxes = {} if is_fcn else {"boxes_of_step": model.roi_heads.boxes_of_last_step}
    return {"model": options.model} | told | {"losses": losses} | boxes


def time_inference(variant, options, model, pictures):
    found = []

    def detect():
        with torch.inference_mode(), step.precision_of(variant, options):
            found[:] = [{name: of.cpu() for name, of in result.items()} for result in model(pictures)]

    told = step.time_repeatedly(variant, options, detect)
    return told | {"detections": [len(result["boxes"]) for result in found]}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    step.add_arguments(parser, arch="resnet50", size=385, batch=4)
    parser.add_argument("--model", choices=RECIPES, default="fcn")
    parser.add_argument("--classes", type=int, help="19 of fcn, 20 of c4, 80 of fpn")
    parser.add_argument("--objects", type=int, default=7, help="objects of a picture")
    parser.add_argument("--rois", type=int, default=512, help="boxes of a picture that are learned from")
    parser.add_argument("--score-threshold", type=float, default=0.05, help="of a detection")
    parser.add_argument("--proposal-nms-threshold", type=float, default=0.7, help="1 keeps all that overlap")
    parser.add_argument("--inference", action="store_true", help="detect instead of training")
    options = step.parse(parser)
    if options.inference and options.model == "fcn":
        parser.error("--inference times a detector; segmentation is timed by predict.py")
    step.run_variants(run_variant, options)


if __name__ == "__main__":
    main()
