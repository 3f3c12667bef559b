"""Sigmoid and softmax focal loss."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from kd_det.compat.mmcv_ops.precision import at_least_float32


def sigmoid_focal_loss_forward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    r"""Write the sigmoid focal loss of each class into ``output``.

    .. math::
        -\alpha (1 - p)^\gamma \log p \text{ of the label's class, }
        -(1 - \alpha) p^\gamma \log (1 - p) \text{ of the others}

    Args:
        input: (N, C), logits of p.
        target: (N,), labels; any value that is not a class is background.
        weight: (C,), by label, 1 for background; or empty.
        output: (N, C).
        gamma: Focusing exponent.
        alpha: Weight of the label's class; others have 1 - alpha.
    """
    (logits,) = at_least_float32(input)
    p, q = logits.sigmoid(), (-logits).sigmoid()
    log_p, log_q = _log_sigmoid(logits), _log_sigmoid(-logits)
    positive = -alpha * q.pow(gamma) * log_p
    negative = -(1 - alpha) * p.pow(gamma) * log_q
    loss = torch.where(_is_label(target, p), positive, negative)
    output.copy_(loss * _row_weight(weight, target, p))


def sigmoid_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Write the derivative of each class's loss into ``grad_input``."""
    (logits,) = at_least_float32(input)
    p, q = logits.sigmoid(), (-logits).sigmoid()
    log_p, log_q = _log_sigmoid(logits), _log_sigmoid(-logits)
    positive = -alpha * q.pow(gamma) * (q - gamma * p * log_p)
    negative = (1 - alpha) * p.pow(gamma) * (p - gamma * q * log_q)
    grad = torch.where(_is_label(target, p), positive, negative)
    grad_input.copy_(grad * _row_weight(weight, target, p))


def softmax_focal_loss_forward(
    softmax: Tensor,
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    r"""Write :math:`-\alpha (1 - p)^\gamma \log p` into ``output``.

    Args:
        softmax: (N, C), softmax probabilities, with p that of the label.
        target: (N,), labels; rows with a negative label have loss 0.
        weight: (C,), by label; or empty.
        output: (N,).
        gamma: Focusing exponent.
        alpha: Weight of all rows.
    """
    p, log_p = _label_probability(softmax, target)
    loss = -alpha * (1 - p).pow(gamma) * log_p
    output.copy_(_labelled(loss, weight, target))


def softmax_focal_loss_backward(
    softmax: Tensor,
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Write the gradient with respect to the logits into ``grad_input``.

    ``buff``, (N,), is MMCV's scratch memory.
    """
    p, log_p = _label_probability(softmax, target)
    # d log p / d logit is (1 or 0) - softmax; it vanishes at p = 1
    q = 1 - p
    slope = q.clamp(min=torch.finfo(q.dtype).tiny).pow(gamma - 1)
    factor = alpha * (gamma * slope * p * log_p - q.pow(gamma))
    factor = _labelled(factor, weight, target)[:, None]
    grad_input.copy_(factor * (_is_label(target, softmax).float() - softmax))


def _log_sigmoid(logits: Tensor) -> Tensor:
    """Return log p, clipped at the smallest normal float32.

    As in MMCV it is finite for infinite logits, which occur in half precision.
    """
    smallest = math.log(torch.finfo(torch.float32).tiny)
    return F.logsigmoid(logits).clamp(min=smallest)


def _is_label(target: Tensor, scores: Tensor) -> Tensor:
    """Return the mask of label columns, (N, C)."""
    classes = torch.arange(scores.shape[1], device=scores.device)
    return target[:, None] == classes


def _row_weight(weight: Tensor, target: Tensor, scores: Tensor) -> Tensor:
    """Return the weight of each row, (N, 1)."""
    if not weight.numel():
        return scores.new_ones(())
    is_class = (target >= 0) & (target < len(weight))
    own = weight[target.where(is_class, 0)].to(scores.dtype)
    return own.where(is_class, 1)[:, None]


def _label_probability(
    softmax: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Return p and log p of each row's label; log p is finite for p = 0."""
    (softmax,) = at_least_float32(softmax)
    p = softmax.gather(1, target.clamp(min=0)[:, None])[:, 0]
    return p, p.clamp(min=torch.finfo(torch.float32).tiny).log()


def _labelled(rows: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    """Return the weighted rows, with 0 for rows without a label."""
    if weight.numel():
        rows = rows * weight[target.clamp(min=0)]
    return rows.where(target >= 0, 0)
