"""Inspects the head of a one-stage detector."""

import inspect
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kd_det.distillers.advice import advice
from kd_det.distillers.class_outputs import USE, looks_like_probabilities
from kd_det.distillers.levels import HEAD, probe
from kd_det.errors import UserError


class DenseHead(NamedTuple):
    """Properties of a dense head, found by running a blank image.

    Attributes:
        kind: Class name of the head.
        classes: Number of classes, each with a sigmoid.
        anchors: Predictions per location.
        strides: Strides of the levels, in pixels.
        layers: Paths of the layers that compute the class logits, one per
            level; () if their output is processed further.
        width: Input channels of these layers, or None.
        bins: Number of values per box edge; more than 1 are the logits of a
            distribution.
        objectness: Whether a separate loss predicts objectness, as in YOLOX.
    """

    kind: str
    classes: int
    anchors: int
    strides: tuple[int, ...]
    layers: tuple[str, ...]
    width: int | None
    bins: int
    objectness: bool


def probe_head(
    model: nn.Module, side: str, other: nn.Module | None = None
) -> DenseHead:
    """Run a detector on a blank image and inspect its head.

    The network is not changed.

    Args:
        model: A one-stage detector.
        side: Name of the network in messages.
        other: The other network of the pair, for the message.

    Raises:
        UserError: It has no head that predicts class logits on feature maps.
    """
    head = getattr(model, HEAD, None)
    if not hasattr(head, 'prior_generator'):
        raise UserError(
            'DenseDistiller reads the head of a one-stage detector such as '
            f'RetinaNet or GFL, and the {side} {type(model).__name__} has '
            f'none; {advice(model, model if other is None else other)}'
        )
    made = {}
    handles = [
        module.register_forward_hook(
            lambda _, args, out, path=path: made.update(
                {id(out): (path, args[0], out)}
            )
        )
        for path, module in head.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    _check_inputs(head, side)

    def show(image: Tensor) -> tuple[list, list]:
        feats = model.extract_feat(image)
        shown = _maps(head(feats), head, side)
        torch.manual_seed(0)
        noise = tuple(torch.randn_like(level) for level in feats)
        _check_logits(_maps(head(noise), head, side)[0], head, side)
        return shown

    try:
        scores, boxes, width = probe(model, show, side)
    finally:
        for handle in handles:
            handle.remove()
    classes = head.num_classes
    if getattr(head, 'cls_out_channels', classes) != classes:
        raise UserError(
            f"The {side}'s {type(head).__name__} uses a softmax with a "
            'background class, but DenseDistiller needs a sigmoid per '
            'class; use FeatureDistiller on the levels of the neck.'
        )
    anchors, rest = divmod(scores[0].shape[1], classes)
    if rest:
        raise UserError(
            f"The {side}'s {type(head).__name__} outputs class maps with "
            f'{scores[0].shape[1]} channels, which is not a multiple of its '
            f'{classes} classes; {USE}.'
        )
    found = [made.get(id(level)) for level in scores]
    known = None not in found
    return DenseHead(
        type(head).__name__,
        classes,
        anchors,
        tuple(round(width / level.shape[-1]) for level in scores),
        tuple(f'{HEAD}.{path}' for path, *_ in found) if known else (),
        found[0][1].shape[1] if known else None,
        boxes[0].shape[1] // (4 * anchors),
        hasattr(head, 'loss_obj'),
    )


def _check_inputs(head: nn.Module, side: str) -> None:
    """Raise if a head needs more than feature maps, such as text."""
    parameters = inspect.signature(head.forward).parameters.values()
    needed = [
        p.name
        for p in [*parameters][1:]
        if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    if needed:
        raise UserError(
            'DenseDistiller runs heads on feature maps alone, and the '
            f"{side}'s {type(head).__name__} also needs "
            f'{" and ".join(needed)}; {USE}.'
        )


def _check_logits(scores: list[Tensor], head: nn.Module, side: str) -> None:
    """Raise if the class maps are probabilities."""
    if looks_like_probabilities(scores):
        raise UserError(
            f"The {side}'s {type(head).__name__} outputs probabilities, not "
            f'logits: its class maps are within 0 to 1; {USE}.'
        )


def _maps(outputs, head: nn.Module, side: str) -> tuple[list, list]:
    good = isinstance(outputs, (tuple, list)) and all(
        isinstance(part, (tuple, list))
        and all(isinstance(m, Tensor) and m.ndim == 4 for m in part)
        for part in outputs[:2]
    )
    if not good or len(outputs) < 2:
        raise UserError(
            f"The {side}'s {type(head).__name__} does not return class "
            'logits and boxes as one map (N, C, H, W) per level; use '
            'FeatureDistiller on the levels of the neck.'
        )
    return outputs[0], outputs[1]


def rows_of(level: Tensor, columns: int) -> Tensor:
    """Reshape a map (N, A C, H, W) to rows (N H W A, C).

    Args:
        level: The map.
        columns: Number of columns C.
    """
    return level.permute(0, 2, 3, 1).reshape(-1, columns)
