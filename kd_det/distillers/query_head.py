"""Inspects the head of a detector with queries, such as DETR."""

import inspect
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kd_det.distillers.advice import advice
from kd_det.distillers.levels import (
    HEAD,
    HEAD_INPUTS,
    probe,
    run_transformer,
)
from kd_det.errors import UserError
from kd_det.taps import FeatureTap

USE = "use FeatureDistiller on the levels of the neck or the 'encoder'"


class QueryHead(NamedTuple):
    """Properties of a head, found by running a blank image.

    Attributes:
        kind: Class name of the head.
        classes: Number of classes.
        layers: Number of decoder layers whose queries are predicted from.
        queries: Number of queries that are matched with objects.
        background: Whether a softmax with a background class, as in DETR,
            turns logits into scores, and not a sigmoid for each class.
    """

    kind: str
    classes: int
    layers: int
    queries: int
    background: bool


def probe_queries(
    model: nn.Module, side: str, other: nn.Module | None = None
) -> QueryHead:
    """Run a detector on a blank image and inspect its head.

    The network is not changed.

    Args:
        model: A detector such as DETR.
        side: Name of the network in messages.
        other: The other network of the pair, for the message.

    Raises:
        UserError: It has no queries from which logits and boxes are predicted.
    """
    head = getattr(model, HEAD, None)
    if not (head and hasattr(model, 'forward_transformer')):
        raise UserError(
            'QueryDistiller reads the queries of a detector such as DETR or '
            f'DINO, and the {side} {type(model).__name__} has none; '
            f'{advice(model, model if other is None else other)}'
        )
    kind = type(head).__name__
    parameters = inspect.signature(head.forward).parameters
    more = [name for name in parameters if name not in HEAD_INPUTS]
    if more:
        raise UserError(
            "QueryDistiller runs heads on the decoder's output alone, and the "
            f"{side}'s {kind} also needs {' and '.join(more)}; {USE}."
        )

    def show(image: Tensor) -> tuple[tuple, tuple]:
        shape = tuple(image.shape[2:])
        sample = SimpleNamespace(batch_input_shape=shape, img_shape=shape)
        points = dict(outputs=HEAD)
        with FeatureTap(model, points) as records:
            feats = model.extract_feat(image)
            run_transformer(model, feats, [sample], points)
        return feats, records['outputs'][0]

    _, (logits, boxes), _ = probe(model, show, side)
    layers, _, queries, columns = logits.shape
    classes = head.num_classes
    if columns not in (classes, classes + 1) or boxes.shape[-1] != 4:
        raise UserError(
            f"The {side}'s {kind} predicts {columns} logits and "
            f'{boxes.shape[-1]} box coordinates per query for {classes} '
            f'classes; {USE}.'
        )
    return QueryHead(kind, classes, layers, queries, columns > classes)


def score_logits(logits: Tensor, background: bool) -> Tensor:
    r"""Return the logits of the scores by which a head ranks its boxes.

    For a softmax with the background in the last column, these are
    :math:`\log p_k - \log (1 - p_k)` of each class k, without background.

    Args:
        logits: Class logits (…, C).
        background: Whether the head has a softmax with background.

    Returns:
        Shape (…, K), at least float32.
    """
    wide = logits if logits.dtype == torch.float64 else logits.float()
    if not background:
        return wide
    log_p = wide.log_softmax(-1)
    # where p is next to 1, the others have to be summed
    top = wide.argmax(-1, keepdim=True)
    others = wide.scatter(-1, top, -torch.inf).logsumexp(-1, keepdim=True)
    of_top = others - wide.logsumexp(-1, keepdim=True)
    is_top = torch.zeros_like(wide, dtype=torch.bool).scatter(-1, top, True)
    below = log_p.masked_fill(is_top, -1.0)  # at most log(1/2)
    rest = torch.where(is_top, of_top, torch.log1p(-below.exp()))
    return (log_p - rest)[..., :-1]
