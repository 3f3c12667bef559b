"""What a one-stage detector's head predicts, and with which layers."""

from typing import NamedTuple

from torch import Tensor, nn

from kd_det.distillers.advice import advice
from kd_det.distillers.levels import probe
from kd_det.errors import UserError

HEAD = 'bbox_head'


class DenseHead(NamedTuple):
    """A dense head as an empty image shows it.

    Attributes:
        kind: Name of the head's class.
        classes: Number of classes, each with a sigmoid.
        anchors: Predictions a location.
        strides: Of the levels, in pixels.
        layers: Paths of the layers that give the class logits, level by
            level; () where something stands behind them.
        width: Channels that go into these layers, or None.
        bins: Values an edge of a box is predicted with; above 1 they are
            logits of a distribution.
        objectness: Whether another loss decides what lies on an object, as
            in YOLOX.
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
    """Show a detector an empty image and look at its head.

    The network is left as it was.

    Args:
        model: A one-stage detector.
        side: What to call it in a message.
        other: The other side of the pair, for the message.

    Raises:
        UserError: It has no head that predicts class logits on maps.
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
    try:
        scores, boxes, width = probe(
            model,
            lambda image: _maps(head(model.extract_feat(image)), head, side),
            side,
        )
    finally:
        for handle in handles:
            handle.remove()
    classes = head.num_classes
    if getattr(head, 'cls_out_channels', classes) != classes:
        raise UserError(
            f"The {side}'s {type(head).__name__} has a softmax with a column "
            'for the background; DenseDistiller is for heads with a sigmoid '
            'a class. Use FeatureDistiller on the levels of the neck.'
        )
    anchors = scores[0].shape[1] // classes
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


def _maps(outputs, head: nn.Module, side: str) -> tuple[list, list]:
    good = isinstance(outputs, (tuple, list)) and all(
        isinstance(part, (tuple, list))
        and all(isinstance(m, Tensor) and m.ndim == 4 for m in part)
        for part in outputs[:2]
    )
    if not good or len(outputs) < 2:
        raise UserError(
            f"The {side}'s {type(head).__name__} does not return class "
            'logits and boxes as one map (N, C, H, W) a level; use '
            'FeatureDistiller on the levels of the neck.'
        )
    return outputs[0], outputs[1]


def rows_of(level: Tensor, columns: int) -> Tensor:
    """Return a map (N, A C, H, W) as rows (N H W A, C).

    Args:
        level: The map.
        columns: C.
    """
    return level.permute(0, 2, 3, 1).reshape(-1, columns)
