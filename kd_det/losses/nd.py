"""ND and its parts: norm and direction of embeddings."""

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor
from torch.nn import functional as F

from kd_det.checks import (
    check_choice,
    check_count,
    check_finite,
    check_positive,
)
from kd_det.errors import UserError
from kd_det.functional import (
    fdr_cosine_loss,
    fdr_infonce_loss,
    nd_loss,
    norm_loss,
    sifn_loss,
)
from kd_det.functional._common import check_shapes, float32_math, holds
from kd_det.losses.base import DistillLoss, is_soft
from kd_det.registry import MODELS

POLICIES = ('all', 'foreground')
NORMS = ('teacher', 'class')


class EmbeddingLoss(DistillLoss):
    """Base of the losses on embeddings: selects the rows to use.

    Args:
        background: ``'all'`` treats background like any other class, as in the
            authors' code; ``'foreground'`` averages over foreground rows only.
            Use ``'all'`` for classifiers, which have no background.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: ``background`` has another value.
    """

    def __init__(
        self, background: str = 'all', loss_weight: float = 1.0
    ) -> None:
        super().__init__(loss_weight)
        self.background = check_choice(
            self, 'background', background, POLICIES
        )

    def keep(self, foreground: Tensor | None) -> Tensor | None:
        """Return the mask of rows to use, or None for all."""
        if self.background == 'all':
            return None
        if foreground is None:
            raise UserError(
                f"{type(self).__name__}: background='foreground' where "
                "nothing is background; use background='all'."
            )
        return foreground

    def targets(
        self, centroids: Tensor, labels: Tensor, foreground: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return centroids, labels and mask under the background policy.

        With ``'foreground'`` the background centroid (the last row) is
        dropped. Background rows, which are masked out, get the label of some
        class that has a centroid; no rows are selected, so there is no
        synchronisation.

        Soft labels (N, K) give one centroid per sample, the label-weighted sum
        of the class centroids. Centroids are not normalised, so larger norms
        have more influence on the direction.
        """
        keep = self.keep(foreground)
        if is_soft(labels):
            mixtures = _mix(labels, centroids)
            index = torch.arange(len(labels), device=labels.device)
            return mixtures, index, keep
        if keep is None:
            return centroids, labels, None
        centroids = centroids[:-1]
        stand_in = centroids.any(dim=1).int().argmax()
        return centroids, torch.where(keep, labels, stand_in), keep


@float32_math
def _mix(labels: Tensor, centroids: Tensor) -> Tensor:
    """Return the label-weighted sums of the centroids, (N, D)."""
    check_shapes(centroids=(centroids, 'K D'), labels=(labels, 'N K'))
    # otherwise the class would silently be missing from the mixture
    absent = (labels > 0).any(0) & ~centroids.any(1)
    message = 'centroids must be non-zero for every class in the soft labels'
    if not holds(~absent, message):
        classes = ', '.join(map(str, absent.nonzero()[:, 0].tolist()))
        raise UserError(
            f'{message}, but those of classes {classes} are zero; compute '
            'the centroids on data with these classes.'
        )
    return labels.to(centroids.dtype) @ centroids


@MODELS.register_module()
class NDLoss(EmbeddingLoss):
    r"""ND: align embeddings with class means and raise their norms.

    .. math:: L = \frac1N \sum_i 1 -
        \frac{s_i \cdot \hat c_{y_i}}{\max(\|s_i\|, \|t_i\|)}

    For soft labels (N, K), as from mixup, :math:`c` is
    :math:`\sum_k y_{ik} c_k`.

    Args:
        background: Policy for background rows, see :class:`EmbeddingLoss`.
        loss_weight: Constant factor of the loss.
        norm: Which norm stands for :math:`\|t_i\|`: ``'teacher'``, that of
            the teacher's embedding of the same sample, or ``'class'``, the
            mean norm of the sample's class from the centroid file. With
            ``'class'`` a step needs no teacher.

    Raises:
        UserError: ``background`` or ``norm`` has another value.

    Paper: https://arxiv.org/abs/2305.17007; ``norm='class'`` is ours.
    """

    def __new__(
        cls,
        background: str = 'all',
        loss_weight: float = 1.0,
        norm: str = 'teacher',
    ) -> 'NDLoss':
        """Return the class that takes the fields which ``norm`` needs."""
        by_class = norm == 'class' and cls is NDLoss
        return super().__new__(_ClassNormND if by_class else cls)

    def __init__(
        self,
        background: str = 'all',
        loss_weight: float = 1.0,
        norm: str = 'teacher',
    ) -> None:
        super().__init__(background, loss_weight)
        self.norm = check_choice(self, 'norm', norm, NORMS)

    def forward(
        self,
        student_embed: Tensor,
        teacher_embed: Tensor,
        centroids: Tensor,
        labels: Tensor,
        foreground: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted loss of embeddings (N, D) as a scalar."""
        centroids, labels, keep = self.targets(centroids, labels, foreground)
        per_sample = nd_loss(student_embed, teacher_embed, centroids, labels)
        return self.mean(per_sample, keep)


class _ClassNormND(NDLoss):
    """``NDLoss(norm='class')``."""

    def forward(
        self,
        student_embed: Tensor,
        class_norms: Tensor,
        centroids: Tensor,
        labels: Tensor,
        foreground: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted loss of embeddings (N, D) as a scalar."""
        norms = (
            labels.to(class_norms.dtype) @ class_norms
            if is_soft(labels)
            else class_norms[labels]
        )
        # any embedding of this norm
        stand_in = F.pad(norms[:, None], (0, student_embed.shape[1] - 1))
        return super().forward(
            student_embed, stand_in, centroids, labels, foreground
        )


_ClassNormND.__name__ = NDLoss.__name__  # as messages call it


@MODELS.register_module()
class NormLoss(EmbeddingLoss):
    r"""Naive norm regulariser: match the teacher's norm.

    .. math:: L = \frac1N \sum_i (\|s_i\| - \|t_i\|)^2

    Args:
        background: Policy for background rows, see :class:`EmbeddingLoss`.
        loss_weight: Constant factor of the loss.

    Paper: https://arxiv.org/abs/2305.17007
    """

    def forward(
        self,
        student_embed: Tensor,
        teacher_embed: Tensor,
        foreground: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted loss of embeddings (N, D) as a scalar."""
        per_sample = norm_loss(student_embed, teacher_embed)
        return self.mean(per_sample, self.keep(foreground))


@MODELS.register_module()
class SIFNLoss(EmbeddingLoss):
    r"""SIFN: raise the norm one step above its previous value.

    .. math:: L = \frac1N \sum_i
        \left(\|s_i\| - (n_{y_i} + r)\right)^2

    The paper compares a sample with itself under the previous weights. A
    detector never sees the same RoI twice, so :math:`n_y` is the mean norm of
    class :math:`y` when it last occurred, or its current norm at the first
    occurrence. The norms are kept in a buffer, identical on all ranks and
    saved for exact resume.

    Args:
        num_classes: Number of classes, including background for detectors;
            default: that of the student's logits.
        step: :math:`r`, in units of the norm. We do not know the paper's
            value.
        background: Policy for background rows, see :class:`EmbeddingLoss`.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: An argument is out of range.

    Paper: https://arxiv.org/abs/2305.17007
    """

    hard_labels = True
    previous_norms: Tensor

    def __init__(
        self,
        num_classes: int | None = None,
        step: float = 1.0,
        background: str = 'all',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(background, loss_weight)
        self.step = check_finite(self, 'step', step)
        if num_classes is not None:
            check_count(self, 'num_classes', num_classes, 1)
            self.count_classes(num_classes)

    def count_classes(self, columns: int) -> None:
        """See :meth:`DistillLoss.count_classes`."""
        self.columns = columns
        # NaN: this class has not occurred yet
        memory = torch.full((columns,), float('nan'))
        self.register_buffer('previous_norms', memory)

    def forward(
        self,
        student_embed: Tensor,
        labels: Tensor,
        foreground: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted loss of embeddings (N, D) as a scalar."""
        labels = self.hard(labels)
        if self.columns is None:
            raise UserError(
                'SIFNLoss has no num_classes, and this distiller has no '
                'logits to count; set num_classes.'
            )
        norms = student_embed.detach().float().norm(dim=1)
        previous = self.previous_norms[labels]
        previous = torch.where(previous.isnan(), norms, previous)
        per_sample = sifn_loss(student_embed, previous, self.step)
        self._remember(norms, labels)
        return self.mean(per_sample, self.keep(foreground))

    def _remember(self, norms: Tensor, labels: Tensor) -> None:
        sums, counts = norms.new_zeros(2, len(self.previous_norms))
        sums = sums.index_add(0, labels, norms)
        counts = counts.index_add(0, labels, torch.ones_like(norms))
        if get_world_size() > 1:
            both = torch.stack([sums, counts])
            all_reduce(both)
            sums, counts = both
        self.previous_norms = torch.where(
            counts > 0, sums / counts, self.previous_norms
        )


@MODELS.register_module()
class FDRCosineLoss(EmbeddingLoss):
    r"""Direction only: cosine distance to the teacher's class mean.

    .. math:: L = \frac1N \sum_i 1 - \cos(s_i, c_{y_i})

    Soft labels (N, K) mix the class means, see :class:`NDLoss`.

    Args:
        background: Policy for background rows, see :class:`EmbeddingLoss`.
        loss_weight: Constant factor of the loss.

    Paper: https://arxiv.org/abs/2305.17007
    """

    def forward(
        self,
        student_embed: Tensor,
        centroids: Tensor,
        labels: Tensor,
        foreground: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted loss of embeddings (N, D) as a scalar."""
        centroids, labels, keep = self.targets(centroids, labels, foreground)
        per_sample = fdr_cosine_loss(student_embed, centroids, labels)
        return self.mean(per_sample, keep)


@MODELS.register_module()
class FDRInfoNCELoss(EmbeddingLoss):
    r"""Direction only: contrastive loss over the teacher's class means.

    .. math:: L = \frac1N \sum_i -\log
        \frac{\exp(\cos(s_i, c_{y_i}) / \tau)}
        {\sum_k \exp(\cos(s_i, c_k) / \tau)}

    Args:
        tau: Temperature, above 0. We do not know the paper's value.
        background: Policy for background rows, see :class:`EmbeddingLoss`;
            ``'foreground'`` also removes background from the contrasted
            classes.
        loss_weight: Constant factor of the loss.

    Paper: https://arxiv.org/abs/2305.17007
    """

    hard_labels = True

    def __init__(
        self,
        tau: float = 0.1,
        background: str = 'all',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(background, loss_weight)
        self.tau = check_positive(self, 'tau', tau)

    def forward(
        self,
        student_embed: Tensor,
        centroids: Tensor,
        labels: Tensor,
        foreground: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted loss of embeddings (N, D) as a scalar."""
        centroids, labels, keep = self.targets(
            centroids, self.hard(labels), foreground
        )
        per_sample = fdr_infonce_loss(
            student_embed, centroids, labels, self.tau
        )
        return self.mean(per_sample, keep)
