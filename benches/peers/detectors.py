"""The detectors of our recipes of transfer, in torchvision's parts: Faster R-CNN on C4, and Mask R-CNN on a feature pyramid.

Where torchvision's choices are not detectron2's, which the recipes follow, a part is replaced by a subclass that says what
differs. Every batch norm learns, nothing is frozen, and class 0 is the background. Pictures come normalised and in their final
size, and detections are in its pixels.
"""

from dataclasses import dataclass

import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, maskrcnn_inference
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import roi_align

MASK_SIDE = 28


@dataclass
class Settings:
    """Of a recipe, the tables `detector`, `rpn` and `roi`; pairs are of training and evaluation."""

    anchor_sizes: tuple = (32.0, 64.0, 128.0, 256.0, 512.0)
    pre_nms: tuple = (12_000, 6_000)
    post_nms: tuple = (2_000, 1_000)
    rois: int = 512
    proposal_nms_threshold: float = 0.7
    score_threshold: float = 0.05


# ---- the two networks


def faster_rcnn_c4(arch, classes, settings):
    """Maps of `layer3`; `layer4` and a norm are the head of the boxes."""
    resnet = getattr(torchvision.models, arch)(weights=None)
    last_stage, c5 = resnet.layer4, resnet.fc.in_features
    anchors = Anchors((settings.anchor_sizes,), strides=[16])
    heads = Heads(
        box_roi_pool=AlignedPool([16], 14),
        box_head=LastStage(last_stage, c5),
        box_predictor=predictor(c5, classes),
        **of_heads(settings),
    )
    backbone = IntermediateLayerGetter(resnet, {"layer3": "0"})
    return GeneralizedRCNN(backbone, rpn(c5 // 2, anchors, settings), heads, Padding(1))


def mask_rcnn_fpn(arch, classes, settings):
    """Norms in the pyramid and in both heads; four convolutions and a linear layer for boxes."""
    resnet, strides, width = getattr(torchvision.models, arch)(weights=None), [4, 8, 16, 32], 256
    channels = [resnet.fc.in_features // 8 * 2**stage for stage in range(4)]
    maps = {f"layer{stage + 1}": str(stage) for stage in range(4)}
    box_head = FastRCNNConvFCHead((width, 7, 7), [width] * 4, [1024], norm_layer=nn.BatchNorm2d)
    linear = next(layer for layer in box_head if isinstance(layer, nn.Linear))
    nn.init.kaiming_uniform_(linear.weight, a=1)
    nn.init.zeros_(linear.bias)
    mask_predictor = MaskRCNNPredictor(width, width, 1 + classes)
    nn.init.normal_(mask_predictor.mask_fcn_logits.weight, std=0.001)
    nn.init.zeros_(mask_predictor.mask_fcn_logits.bias)
    nn.init.zeros_(mask_predictor.conv5_mask.bias)
    heads = Heads(
        box_roi_pool=AlignedPool(strides, 7),
        box_head=box_head,
        box_predictor=predictor(1024, classes),
        mask_roi_pool=AlignedPool(strides, MASK_SIDE // 2),
        mask_head=MaskRCNNHeads(width, [width] * 4, 1, norm_layer=nn.BatchNorm2d),
        mask_predictor=mask_predictor,
        **of_heads(settings),
    )
    anchors = Anchors([(size,) for size in settings.anchor_sizes], strides=[*strides, 64])
    backbone = BackboneWithFPN(resnet, maps, channels, width, norm_layer=nn.BatchNorm2d)
    return GeneralizedRCNN(backbone, rpn(width, anchors, settings), heads, Padding(32))


def rpn(channels, anchors, settings):
    pre_nms, post_nms = (dict(zip(["training", "testing"], of)) for of in (settings.pre_nms, settings.post_nms))
    head = FloatRPNHead(channels, anchors.num_anchors_per_location()[0])
    network = ProposalNetwork(anchors, head, 0.7, 0.3, 256, 0.5, pre_nms, post_nms, settings.proposal_nms_threshold)
    network.min_size = 1e-6  # only boxes without area are dropped
    return network


def predictor(channels, classes):
    layers = FastRCNNPredictor(channels, 1 + classes)
    for layer, deviation in [(layers.cls_score, 0.01), (layers.bbox_pred, 0.001)]:
        nn.init.normal_(layer.weight, std=deviation)
        nn.init.zeros_(layer.bias)
    return layers


def of_heads(settings):
    """The arguments of `RoIHeads` that both networks share."""
    training = dict(fg_iou_thresh=0.5, bg_iou_thresh=0.5, positive_fraction=0.25, bbox_reg_weights=None)
    evaluation = dict(score_thresh=settings.score_threshold, nms_thresh=0.5, detections_per_img=100)
    return training | evaluation | dict(batch_size_per_image=settings.rois)


def decayed(model, weight_decay):
    """The parameters in two groups: those of norms do not decay, all others do."""
    norms = [p for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()]
    of_norms = {id(parameter) for parameter in norms}
    others = [parameter for parameter in model.parameters() if id(parameter) not in of_norms]
    return [{"params": others, "weight_decay": weight_decay}, {"params": norms, "weight_decay": 0.0}]


# ---- parts that are not torchvision's


class Padding(GeneralizedRCNNTransform):
    """Pads pictures to the largest of the batch and a multiple, with zeros; nothing else."""

    def __init__(self, multiple):
        super().__init__(1, 1, [], [], size_divisible=multiple)

    def normalize(self, image):
        return image

    def resize(self, image, target=None):
        return image, target

    def postprocess(self, result, image_shapes, original_image_sizes):
        return result


class Anchors(AnchorGenerator):
    """Not rounded, in float32 whatever the maps are, and at exact strides where a picture is no multiple of them."""

    def __init__(self, sizes, strides):
        super().__init__(tuple(sizes), ((0.5, 1.0, 2.0),) * len(strides))
        self.strides = strides

    def generate_anchors(self, scales, aspect_ratios, dtype=torch.float32, device="cpu"):
        sides = [[size / ratio**0.5, size * ratio**0.5] for size in scales for ratio in aspect_ratios]
        halves = torch.tensor(sides, dtype=dtype, device=device) / 2
        return torch.cat([-halves, halves], dim=1)

    def forward(self, image_list, feature_maps):
        self.set_cell_anchors(torch.float32, feature_maps[0].device)
        sizes = [feature_map.shape[-2:] for feature_map in feature_maps]
        anchors = self.grid_anchors(sizes, [[stride, stride] for stride in self.strides])
        return [torch.cat(anchors)] * len(image_list.image_sizes)


class FloatRPNHead(RPNHead):
    """Answers in float32, in which boxes are decoded and losses computed."""

    def forward(self, x):
        logits, deltas = super().forward(x)
        return [level.float() for level in logits], [level.float() for level in deltas]


class ProposalNetwork(RegionProposalNetwork):
    """L1 instead of smooth L1, and sums over the anchors that should have been drawn instead of those that were."""

    def compute_loss(self, objectness, pred_bbox_deltas, labels, regression_targets):
        wanted = self.fg_bg_sampler.batch_size_per_image * len(labels)
        objects, background = (torch.where(torch.cat(drawn))[0] for drawn in self.fg_bg_sampler(labels))
        drawn, labels = torch.cat([objects, background]), torch.cat(labels)
        logits, targets = objectness.flatten()[drawn], torch.cat(regression_targets)[objects]
        of_class = F.binary_cross_entropy_with_logits(logits, labels[drawn], reduction="sum")
        of_box = F.l1_loss(pred_bbox_deltas[objects], targets, reduction="sum")
        return of_class / wanted, of_box / wanted


class AlignedPool(nn.Module):
    """RoIAlign shifted by half a cell, with as many samples as a bin has cells; each box from the level of its size."""

    def __init__(self, strides, bins):
        super().__init__()
        self.strides, self.bins = strides, bins

    def forward(self, features, boxes, image_shapes):
        maps = list(features.values())
        if len(self.strides) == 1:
            return self.of_level(maps[0], boxes, 0)
        rois = numbered(boxes)
        sides = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).sqrt()
        levels = (4 + (sides / 224 + 1e-8).log2()).floor().clamp(2, 5) - 2
        places = [torch.where(levels == level)[0] for level in range(len(self.strides))]
        values = torch.cat([self.of_level(maps[level], rois[own], level) for level, own in enumerate(places)])
        return values[torch.cat(places).argsort()]

    def of_level(self, feature_map, rois, level):
        return roi_align(feature_map, rois, self.bins, 1 / self.strides[level], sampling_ratio=0, aligned=True)


def numbered(boxes):
    """Boxes of all pictures, each with the number of its picture before it."""
    return torch.cat([F.pad(of_picture, (1, 0), value=number) for number, of_picture in enumerate(boxes)])


class LastStage(nn.Module):
    """The head of C4's boxes: `layer4`, a norm without ReLU, and the mean over the cells."""

    def __init__(self, layer4, channels):
        super().__init__()
        self.layer4, self.norm = layer4, nn.BatchNorm2d(channels)

    def forward(self, boxes):
        return self.norm(self.layer4(boxes)).mean(dim=(2, 3))


class Heads(RoIHeads):
    """L1 instead of smooth L1, and masks that are learned as yes or no at each of their pixels."""

    def forward(self, features, proposals, image_shapes, targets=None):
        if self.training:
            proposals, objects, labels, differences = self.select_training_samples(proposals, targets)
        values = self.box_head(self.box_roi_pool(features, proposals, image_shapes))
        logits, deltas = (output.float() for output in self.box_predictor(values))
        self.boxes_of_last_step = len(logits)
        if not self.training:
            return self.detections(features, logits, deltas, proposals, image_shapes), {}
        losses = box_losses(logits, deltas, torch.cat(labels), torch.cat(differences))
        if self.has_mask():
            shown = [torch.where(of_picture > 0)[0] for of_picture in labels]
            proposals, objects, labels = (
                [of_picture[own] for of_picture, own in zip(all_pictures, shown)]
                for all_pictures in (proposals, objects, labels)
            )
            wanted = mask_targets(proposals, objects, targets)
            logits = self.mask_logits(features, proposals, image_shapes)
            own = logits[torch.arange(len(logits)), torch.cat(labels)]
            losses["loss_mask"] = F.binary_cross_entropy_with_logits(own, wanted)
        return [], losses

    def detections(self, features, logits, deltas, proposals, image_shapes):
        found = self.postprocess_detections(logits, deltas, proposals, image_shapes)
        results = [dict(zip(["boxes", "scores", "labels"], of_picture)) for of_picture in zip(*found)]
        if self.has_mask():
            boxes, _, labels = found
            masks = maskrcnn_inference(self.mask_logits(features, boxes, image_shapes), labels)
            for result, of_picture in zip(results, masks):
                result["masks"] = of_picture
        return results

    def mask_logits(self, features, boxes, image_shapes):
        return self.mask_predictor(self.mask_head(self.mask_roi_pool(features, boxes, image_shapes))).float()


def box_losses(logits, deltas, labels, differences):
    objects = torch.where(labels > 0)[0]
    own = deltas.unflatten(1, (-1, 4))[objects, labels[objects]]
    of_box = F.l1_loss(own, differences[objects], reduction="sum") / len(labels)
    return {"loss_classifier": F.cross_entropy(logits, labels), "loss_box_reg": of_box}


def mask_targets(boxes, objects, targets):
    """The masks of the objects within the boxes, as detectron2 cuts them out of bit masks."""
    cut = []
    for of_picture, own, target in zip(boxes, objects, targets):
        rois = torch.cat([own[:, None].to(of_picture), of_picture], dim=1)
        cut.append(roi_align(target["masks"][:, None].float(), rois, MASK_SIDE, 1.0, 0, aligned=True)[:, 0])
    return (torch.cat(cut) >= 0.5).float()
