"""Rehearsal: a training step of the student on noise, at the build."""

import copy
import logging

import torch
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import Tensor, nn

from kd_det import random_state
from kd_det.batch_norm import statistics_kept
from kd_det.distillers.levels import (
    LARGE,
    PROBE,
    colours,
    run_transformer,
)
from kd_det.errors import UserError
from kd_det.taps import FeatureTap, Records

IMAGES = 2  # batch norm on 1 x 1 maps needs more than one
ROIS = 8  # per image
BOXES = [[8.0, 16.0, 72.0, 80.0], [32.0, 32.0, 112.0, 120.0]]


def rehearse(distiller: nn.Module) -> None:
    """Let a distiller read a training step of a copy of its student.

    This way the build fails, not a later step, if the distiller cannot read
    what a head does in training. If the student cannot train on noise images
    with boxes alone, a line in the log says so, and the checks happen at the
    first step.

    Args:
        distiller: A distiller that is bound to both networks.

    Raises:
        UserError: Raised by the distiller's ``read``.
    """
    student, teacher = distiller.student, distiller.teacher
    network = copy.deepcopy(student).train()
    _make_light(network)
    with random_state.isolated(), torch.enable_grad():
        torch.manual_seed(0)
        step = _step(network, distiller.points)
        if isinstance(step, Exception):
            why = ' '.join(f'{type(step).__name__}: {step}'.split())[:200]
            print_log(
                f'distillers.{distiller.name}: {type(student).__name__} does '
                f'not train on noise ({why}), so its heads are checked at '
                'the first step.',
                'current',
                level=logging.INFO,
            )
            return
        records, inputs, samples = step
        # one-time warnings are for real images
        told, distiller._told = distiller._told, {'student', 'teacher'}
        points = distiller.teacher_points
        with statistics_kept(teacher.model), statistics_kept(student):
            with FeatureTap(teacher.model, points) as seen:
                feats = teacher.extract_feat(inputs)
                run_transformer(teacher.model, feats, samples, points)
            distiller.read(records, seen, feats, samples)
        distiller._told = told


def _step(
    network: nn.Module, points: dict[str, str]
) -> tuple[Records, Tensor, list] | Exception:
    """Train on noise; return records, images and samples, or an error."""
    first = None
    weight = next(network.parameters())
    for loss in (_whole, _head_alone):
        # small images may be smaller than a kernel
        for side in (PROBE, LARGE):
            shape = IMAGES, colours(network), side, side
            inputs = torch.randn(shape).to(weight)
            samples = [_sample(side, weight.device) for _ in range(IMAGES)]
            try:
                with FeatureTap(network, points) as records:
                    loss(network, inputs, samples)
            except UserError:  # from a tap
                raise
            except Exception as error:  # whatever another package raises
                first = first or error
            else:
                return records, inputs, samples
    return first


def _whole(network: nn.Module, inputs: Tensor, samples: list) -> None:
    network.loss(inputs, samples)


def _head_alone(network: nn.Module, inputs: Tensor, samples: list) -> None:
    """Skip the other heads of a one-stage network, which may need masks."""
    network.bbox_head.loss(network.extract_feat(inputs), samples)


def _make_light(network: nn.Module) -> None:
    """Reduce the cost of a step: few proposals and RoIs, no masks.

    There are more proposals than RoIs, so that samplers have to choose.
    """
    proposals = (getattr(network, 'train_cfg', None) or {}).get('rpn_proposal')
    if proposals is not None:
        proposals.update(nms_pre=100, max_per_img=2 * ROIS)
    roi_head = getattr(network, 'roi_head', None)
    if getattr(roi_head, 'with_mask', False):
        roi_head.mask_head = None
    samplers = getattr(roi_head, 'bbox_sampler', None) or ()
    for sampler in samplers if isinstance(samplers, list) else [samplers]:
        if getattr(sampler, 'num', 0) > ROIS:
            sampler.num = ROIS


def _sample(side: int, device: torch.device) -> BaseDataElement:
    """Return annotations of a noise image: boxes of class 0."""
    size = side, side
    boxes = torch.tensor(BOXES, device=device)
    labels = torch.zeros(len(boxes), dtype=torch.long, device=device)
    corners = torch.rand(2 * ROIS, 2, 2) * side
    proposals = torch.cat([corners.amin(1), corners.amax(1)], 1)
    segments = torch.zeros(1, side, side, dtype=torch.long)
    return BaseDataElement(
        metainfo=dict(
            img_id=0,
            img_path='',
            img_shape=size,
            ori_shape=size,
            pad_shape=size,
            batch_input_shape=size,
            scale_factor=(1.0, 1.0),
        ),
        gt_instances=InstanceData(bboxes=boxes, labels=labels),
        # for detectors without an RPN
        proposals=InstanceData(
            bboxes=proposals.to(device),
            scores=torch.rand(2 * ROIS).to(device),
        ),
        gt_sem_seg=PixelData(sem_seg=segments.to(device)),
    )
