"""How large the gradient of each distillation loss is beside the task's."""

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
    """Two gradients at the weights that both losses reach.

    Attributes:
        task: Norm of the task's gradient.
        norm: Norm of the distillation loss's gradient.
        cosine: Of the angle between them; 0 where one is zero.
    """

    task: float
    norm: float
    cosine: float

    @property
    def share(self) -> float:
        """The distillation loss's norm as a multiple of the task's."""
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
    r"""Compare the gradient of each loss with the task's.

    .. math:: \text{share} = \lVert\nabla_w L\rVert / \lVert\nabla_w T\rVert

    over the weights :math:`w` that both :math:`L` and :math:`T` reach. The
    graph is kept, nothing is accumulated in ``weights.grad``, and no hook of
    ``DistributedDataParallel`` runs; with several processes the gradients
    are those of the global batch.

    Args:
        task: The task's loss, a scalar.
        losses: Name -> weighted distillation loss, scalars.
        weights: Of the student, without those of connectors.
        loss_scale: Applied while differentiating, against underflow in half
            precision, and divided out again.

    Returns:
        By the names of the losses; one that shares no weight with the task
        is left out.
    """
    weights = [weight for weight in weights if weight.requires_grad]
    # outside autocast, as backward is
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
    """Return the shares in what a model returned in its training forward.

    The buffers are left as they were, also by a student whose blocks run
    once more for each gradient (``torch.utils.checkpoint``).

    Args:
        model: In training, unwrapped.
        losses: Its losses, before they are back-propagated.
        peer: Whose they are, in a ``MutualModel``.
        loss_scale: See :func:`gradient_shares`.

    Returns:
        Key of the loss -> share.

    Raises:
        UserError: The student checkpoints its activations in torch's
            reentrant way, which knows no gradient of single weights.
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
            'The gradients of single losses cannot be taken of a student '
            'that runs its blocks twice to save memory '
            '(backbone.with_cp=True); set with_cp=False, or take '
            'GradientShareHook out of custom_hooks and auto_weight out of '
            'the losses.'
        ) from None
    finally:
        for buffer, before in kept:
            buffer.data.copy_(before)  # unseen by autograd


def loss_scale_of(runner: Runner) -> float:
    """Return the scale of a half precision training, else 1."""
    scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
    return scaler.get_scale() if scaler is not None else 1.0


def _parts(value: Tensor | list[Tensor]) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else value


def _gradients(
    loss: Tensor, weights: Sequence[nn.Parameter], scale: float
) -> list[Tensor | None]:
    """Return the gradient at each weight, None where none arrives."""
    attached = loss.new_tensor(float(loss.requires_grad))
    if get_world_size() > 1:
        # one rank alone in SyncBatchNorm's backward would wait for ever
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
    """Return the mean over processes, as DistributedDataParallel has it."""
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
