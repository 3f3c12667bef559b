"""ReviewKD: feature maps compared at several resolutions."""

from collections.abc import Sequence

from torch import Tensor

from kd_det.errors import UserError
from kd_det.functional import hcl_loss
from kd_det.losses.base import DistillLoss
from kd_det.registry import MODELS


@MODELS.register_module()
class ReviewKDLoss(DistillLoss):
    r"""Hierarchical context loss, averaged over samples, summed over levels.

    A level of height h is compared at full size and average-pooled to each
    size l in {4, 2, 1} smaller than h; the j-th of these has weight
    :math:`2^{-j}`:

    .. math::
        L = \frac1N \sum_i \sum_{levels} \frac{m(s_i, t_i) + \sum_j 2^{-j}
        m(\mathrm{pool}_{l_j} s_i, \mathrm{pool}_{l_j} t_i)}{1 + \sum_j 2^{-j}}

    where m is the mean squared difference. :class:`ABFConnector` fuses the
    student's maps and gives them the teacher's shapes.

    Args:
        loss_weight: Constant factor of the loss.

    Paper: https://arxiv.org/abs/2104.09044
    """

    def forward(
        self, student_feats: Sequence[Tensor], teacher_feats: Sequence[Tensor]
    ) -> Tensor:
        """Return the weighted loss of feature maps (N, C, H, W), a scalar.

        Raises:
            UserError: The shapes of the feature maps differ.
        """
        ours = [tuple(level.shape) for level in student_feats]
        theirs = [tuple(level.shape) for level in teacher_feats]
        if ours != theirs:
            raise UserError(
                'ReviewKDLoss requires equal shapes, but student_feats has '
                f'{ours} and teacher_feats {theirs}; add '
                "connectors=dict(student_feats=dict(type='ABFConnector')) "
                'to the distiller, with the same number of tap points for '
                'both networks.'
            )
        return self.mean(hcl_loss(student_feats, teacher_feats))
