"""ReviewKD's loss: maps compared at several resolutions."""

from collections.abc import Sequence

from torch import Tensor

from kd_det.errors import UserError
from kd_det.functional import hcl_loss
from kd_det.losses.base import DistillLoss
from kd_det.registry import MODELS


@MODELS.register_module()
class ReviewKDLoss(DistillLoss):
    r"""Hierarchical context loss, mean over samples, summed over levels.

    A level of height h is compared as it is, and average-pooled to each side
    length l of 4, 2, 1 below h; the j-th of these has the weight
    :math:`2^{-j}`:

    .. math::
        L = \frac1N \sum_i \sum_{levels} \frac{m(s_i, t_i) + \sum_j 2^{-j}
        m(\mathrm{pool}_{l_j} s_i, \mathrm{pool}_{l_j} t_i)}{1 + \sum_j 2^{-j}}

    where m is the mean squared difference. The student's maps have been
    fused to the teacher's shapes by :class:`ABFConnector`.

    Args:
        loss_weight: Constant factor of the loss.

    Paper: https://arxiv.org/abs/2104.09044
    """

    def forward(
        self, student_feats: Sequence[Tensor], teacher_feats: Sequence[Tensor]
    ) -> Tensor:
        """Return the weighted loss of maps (N, C, H, W) as a scalar.

        Raises:
            UserError: The maps of the two sides have not the same shapes.
        """
        ours = [tuple(level.shape) for level in student_feats]
        theirs = [tuple(level.shape) for level in teacher_feats]
        if ours != theirs:
            raise UserError(
                'ReviewKDLoss compares maps of equal shapes, but '
                f'student_feats has {ours} and teacher_feats {theirs}; add '
                "connectors=dict(student_feats=dict(type='ABFConnector')) "
                'to the distiller, with as many points on both sides.'
            )
        return self.mean(hcl_loss(student_feats, teacher_feats))
