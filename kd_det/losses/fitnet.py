"""FitNet: element-wise comparison of feature maps (hints)."""

from collections.abc import Sequence

from torch import Tensor

from kd_det.errors import UserError
from kd_det.functional._common import float32_math, total
from kd_det.losses.base import DistillLoss
from kd_det.losses.levels import check_levels, same_sizes
from kd_det.registry import MODELS

Maps = Sequence[Tensor]


@MODELS.register_module()
class FitNetLoss(DistillLoss):
    r"""Mean squared difference of feature maps, summed over the levels.

    .. math:: L = \sum_{levels} \frac{1}{N C H W} \sum_n \|s_n - t_n\|^2

    A :class:`ConvAdaptor` maps the student's channels to the teacher's. If the
    spatial sizes differ, the larger map is average-pooled to the smaller, each
    axis separately.

    Args:
        loss_weight: Constant factor of the loss.

    Paper: https://arxiv.org/abs/1412.6550

    Differs from the paper: the mean of the squares instead of half their sum;
    the hint is an additional loss term instead of a separate first stage.
    """

    def forward(self, student_feats: Maps, teacher_feats: Maps) -> Tensor:
        """Return the weighted loss of feature maps (N, C, H, W), a scalar.

        Raises:
            UserError: The numbers of feature maps, samples or channels differ.
        """
        check_levels(self, student_feats, teacher_feats)
        ours, theirs = (
            [tuple(level.shape[:2]) for level in side]
            for side in (student_feats, teacher_feats)
        )
        if ours != theirs:
            raise UserError(
                'FitNetLoss requires equal numbers of samples and channels, '
                f'but student_feats has {ours} and teacher_feats {theirs}; '
                'add '
                "connectors=dict(student_feats=dict(type='ConvAdaptor')) to "
                'the distiller.'
            )
        return self.mean(_hint(student_feats, teacher_feats))


@float32_math
def _hint(student_feats: Maps, teacher_feats: Maps) -> Tensor:
    """Return the squared differences (N,), summed over the levels."""
    return total(
        _squared(student, teacher.detach())
        for student, teacher in zip(student_feats, teacher_feats)
    )


def _squared(student: Tensor, teacher: Tensor) -> Tensor:
    student, teacher = same_sizes(student, teacher)
    return (student - teacher).square().mean((1, 2, 3))
