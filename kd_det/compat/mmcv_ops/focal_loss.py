"""Focal loss on sigmoids and on a softmax."""

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
    r"""Write into ``output`` the focal loss of each class.

    .. math::
        -\alpha (1 - p)^\gamma \log p \text{ of the label's class, }
        -(1 - \alpha) p^\gamma \log (1 - p) \text{ of the others}

    Args:
        input: (N, C), logits of p.
        target: (N,), labels; any number that is no class is background.
        weight: (C,), by label, 1 for background; or empty.
        output: (N, C).
        gamma: How little an easy class counts.
        alpha: The weight of the label's class; of the others 1 - alpha.
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
    """Write into ``grad_input`` the derivative of each class's loss."""
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
    r"""Write into ``output`` :math:`-\alpha (1 - p)^\gamma \log p`.

    Args:
        softmax: (N, C), of which p is that of the label.
        target: (N,), labels; rows with a negative one lose nothing.
        weight: (C,), by label; or empty.
        output: (N,).
        gamma: How little an easy row counts.
        alpha: The weight of all rows.
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
    """Write into ``grad_input`` each row's derivative for its logits.

    ``buff``, (N,), is MMCV's scratch memory.
    """
    p, log_p = _label_probability(softmax, target)
    # d log p / d logit is (1 or 0) - softmax; at p = 1 all vanishes
    q = 1 - p
    slope = q.clamp(min=torch.finfo(q.dtype).tiny).pow(gamma - 1)
    factor = alpha * (gamma * slope * p * log_p - q.pow(gamma))
    factor = _labelled(factor, weight, target)[:, None]
    grad_input.copy_(factor * (_is_label(target, softmax).float() - softmax))


def _log_sigmoid(logits: Tensor) -> Tensor:
    """Return log p, at least that of the smallest normal float32.

    It is finite at infinite logits, as in MMCV: half precision overflows.
    """
    smallest = math.log(torch.finfo(torch.float32).tiny)
    return F.logsigmoid(logits).clamp(min=smallest)


def _is_label(target: Tensor, scores: Tensor) -> Tensor:
    """Return where a column is its row's label, (N, C)."""
    classes = torch.arange(scores.shape[1], device=scores.device)
    return target[:, None] == classes


def _row_weight(weight: Tensor, target: Tensor, scores: Tensor) -> Tensor:
    """Return each row's weight, (N, 1)."""
    if not weight.numel():
        return scores.new_ones(())
    is_class = (target >= 0) & (target < len(weight))
    own = weight[target.where(is_class, 0)].to(scores.dtype)
    return own.where(is_class, 1)[:, None]


def _label_probability(
    softmax: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Return p of each row's label and log p, which is finite for p = 0."""
    (softmax,) = at_least_float32(softmax)
    p = softmax.gather(1, target.clamp(min=0)[:, None])[:, 0]
    return p, p.clamp(min=torch.finfo(torch.float32).tiny).log()


def _labelled(rows: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    """Return the rows, weighted, with 0 for those without a label."""
    if weight.numel():
        rows = rows * weight[target.clamp(min=0)]
    return rows.where(target >= 0, 0)
