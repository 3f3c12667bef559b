"""Gradient norms of distillation losses relative to the task loss."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.runner import Runner
from torch import Tensor, nn

from kd_det.errors import UserError
from kd_det.models import DistillModel, MutualModel


@dataclass(frozen=True)
class GradientShare:
    """Two gradients over the weights that both losses depend on.

    Attributes:
        task: Gradient norm of the task loss.
        norm: Gradient norm of the distillation loss.
        cosine: Cosine between the gradients; 0 if one is zero.
    """

    task: float
    norm: float
    cosine: float

    @property
    def share(self) -> float:
        """Gradient norm of the distillation loss relative to the task loss."""
        return self.norm / self.task if self.task else math.inf

    @property
    def usable(self) -> bool:
        """Whether both norms are above zero and finite."""
        return 0 < self.norm < math.inf and 0 < self.task < math.inf


def gradient_shares(
    task: Tensor,
    losses: dict[str, Tensor],
    weights: Sequence[nn.Parameter],
    loss_scale: float = 1.0,
) -> dict[str, GradientShare]:
    r"""Compare the gradient of each loss with that of the task loss.

    .. math:: \text{share} = \lVert\nabla_w L\rVert / \lVert\nabla_w T\rVert

    over the weights :math:`w` that both :math:`L` and :math:`T` depend on. The
    graph is kept, nothing is accumulated in ``weights.grad``, and no hooks of
    ``DistributedDataParallel`` run; with several processes the gradients are
    those of the global batch.

    Args:
        task: Task loss, a scalar.
        losses: Name -> weighted distillation loss, scalars.
        weights: Weights of the student, without connectors.
        loss_scale: Scale applied during differentiation to avoid underflow in
            half precision, and divided out again.

    Returns:
        Loss name -> gradients; losses that share no weights with the task loss
        are omitted.
    """
    weights = [weight for weight in weights if weight.requires_grad]
    # outside autocast, like backward
    with torch.autocast(task.device.type, enabled=False):
        ours = _gradients(task, weights, loss_scale)
        found = {}
        for name, loss in losses.items():
            theirs = _gradients(loss, weights, loss_scale)
            pairs = [
                (a, b)
                for a, b in zip(ours, theirs)
                if a is not None and b is not None
            ]
            if pairs:
                found[name] = _compared(pairs)
    return found


def step_shares(
    model: DistillModel | MutualModel,
    losses: dict[str, Tensor | list[Tensor]],
    peer: str | None = None,
    loss_scale: float = 1.0,
) -> dict[str, GradientShare]:
    """Return the gradient shares of the losses of a training step.

    Buffers are restored, even if the student recomputes its blocks for each
    gradient (``torch.utils.checkpoint``).

    Args:
        model: Unwrapped model in training mode.
        losses: Its losses, before back-propagation.
        peer: Name of the peer in a ``MutualModel``.
        loss_scale: See :func:`gradient_shares`.

    Returns:
        Loss key -> gradient share.

    Raises:
        UserError: The student uses torch's reentrant activation checkpointing,
            which does not support gradients of single weights.
    """
    network, distilled = model.learner(peer)
    values = {
        key: sum(v.mean() for v in _parts(value))
        for key, value in losses.items()
        if 'loss' in key
    }
    ours = {key: values.pop(key) for key in distilled}
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        return gradient_shares(
            sum(values.values()), ours, [*network.parameters()], loss_scale
        )
    except RuntimeError as error:
        if 'compatible with .grad()' not in str(error):
            raise
        raise UserError(
            'Gradients of single losses cannot be computed for a student '
            'with activation checkpointing (backbone.with_cp=True); set '
            'with_cp=False, or remove GradientShareHook from custom_hooks '
            'and auto_weight from the losses.'
        ) from None
    finally:
        for buffer, before in kept:
            buffer.data.copy_(before)  # invisible to autograd


def loss_scale_of(runner: Runner) -> float:
    """Return the loss scale in half-precision training, or 1."""
    scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
    return scaler.get_scale() if scaler is not None else 1.0


def _parts(value: Tensor | list[Tensor]) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else value


def _gradients(
    loss: Tensor, weights: Sequence[nn.Parameter], scale: float
) -> list[Tensor | None]:
    """Return the gradient of each weight, or None."""
    attached = loss.new_tensor(float(loss.requires_grad))
    if get_world_size() > 1:
        # a single rank in SyncBatchNorm's backward would deadlock
        all_reduce(attached, op='min')
    if not attached or not weights:
        return [None] * len(weights)
    while True:
        parts = torch.autograd.grad(
            loss.float() * scale,
            weights,
            retain_graph=True,
            allow_unused=True,
        )
        parts = _averaged(parts, weights)
        flat = [p.sum() for p in parts if p is not None]
        finite = not flat or bool(torch.stack(flat).isfinite().all())
        if finite or scale <= 1.0:
            return [None if p is None else p.float() / scale for p in parts]
        scale = max(scale / 16, 1.0)


def _averaged(
    parts: Sequence[Tensor | None], weights: Sequence[nn.Parameter]
) -> Sequence[Tensor | None]:
    """Return the mean over processes, as in DistributedDataParallel."""
    if get_world_size() == 1:
        return parts
    reached = weights[0].new_tensor([float(p is not None) for p in parts])
    all_reduce(reached, op='max')
    flat = torch.cat(
        [
            (torch.zeros_like(w) if p is None else p).flatten()
            for p, w in zip(parts, weights)
        ]
    )
    all_reduce(flat, op='mean')
    pieces = flat.split([w.numel() for w in weights])
    return [
        piece.view_as(weight) if there else None
        for piece, weight, there in zip(pieces, weights, reached.tolist())
    ]


def _compared(pairs: list[tuple[Tensor, Tensor]]) -> GradientShare:
    products = [
        torch.stack(
            [
                torch.dot(x.flatten().double(), y.flatten().double())
                for x, y in ((a, a), (b, b), (a, b))
            ]
        )
        for a, b in pairs
    ]
    aa, bb, ab = torch.stack(products).sum(0).tolist()
    norms = math.sqrt(aa) * math.sqrt(bb)
    return GradientShare(
        math.sqrt(aa), math.sqrt(bb), ab / norms if norms else 0.0
    )
