"""OFD: partial comparison of feature maps before the ReLU."""

from collections.abc import Sequence

from torch import Tensor

from kd_det.errors import UserError
from kd_det.functional import ofd_loss
from kd_det.functional._common import total
from kd_det.losses.base import DistillLoss
from kd_det.losses.levels import check_levels, same_sizes
from kd_det.registry import MODELS

Maps = Sequence[Tensor]


@MODELS.register_module()
class OFDLoss(DistillLoss):
    r"""Partial squared difference, summed over entries and weighted levels.

    .. math:: L = \frac1N \sum_n \sum_{l=1}^{L} 2^{-(L - l)}
        \operatorname{ofd}(s_l, t_l, m_l)

    with :func:`kd_det.functional.ofd_loss` and levels from shallow to deep. If
    the sizes differ, the larger map is average-pooled to the smaller.

    Args:
        loss_weight: Constant factor of the loss; the authors use 0.001 on
            CIFAR and 0.0001 on ImageNet.

    Paper: https://arxiv.org/abs/1904.01866
    """

    def forward(
        self, student_feats: Maps, teacher_feats: Maps, teacher_margins: Maps
    ) -> Tensor:
        """Return the weighted loss of feature maps (N, C, H, W), a scalar.

        Raises:
            UserError: The numbers of feature maps or channels differ.
        """
        check_levels(self, student_feats, teacher_feats)
        count = len(student_feats)
        values = []
        levels = zip(student_feats, teacher_feats, teacher_margins)
        for level, (ours, theirs, margin) in enumerate(levels):
            if ours.shape[1] != theirs.shape[1]:
                raise UserError(
                    'OFDLoss requires equal numbers of channels, but level '
                    f'{level} has {ours.shape[1]} in the student and '
                    f'{theirs.shape[1]} in the teacher; add connectors=dict('
                    "student_feats=dict(type='ConvAdaptor', relu=False)) to "
                    'the distiller (of student_inherit_feats and '
                    'student_explore_feats for halves).'
                )
            value = ofd_loss(*same_sizes(ours, theirs), margin)
            values.append(value / 2 ** (count - 1 - level))
        return self.mean(total(values))
