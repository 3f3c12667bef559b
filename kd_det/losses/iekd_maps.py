"""Feature map losses for one half of the student: IE-AT, IE-OD."""

from collections.abc import Sequence

from torch import Tensor

from kd_det.checks import check_not_negative, check_positive
from kd_det.errors import UserError
from kd_det.losses.base import DistillLoss, Fields
from kd_det.registry import MODELS, build_part

Maps = Sequence[Tensor]


class _HalfLoss(DistillLoss):
    entrywise = False  # the base compares a half, not the student's maps
    half_field: str  # nn.Module has a method half()

    def __init__(self, base: dict, loss_weight: float = 1.0) -> None:
        own = type(self).__name__
        super().__init__(check_not_negative(own, 'loss_weight', loss_weight))
        if isinstance(base, dict):  # resolve types in kd_det's scope
            base = {'_scope_': 'kd_det', **base}
        name = f'base of {own}'
        self.base = build_part(name, base, DistillLoss)
        check_not_negative(name, 'loss_weight', self.base.loss_weight)
        asked = self.base.fields()
        if 'student_feats' not in asked.required:
            raise UserError(
                f'{name} is {type(self.base).__name__}, which takes '
                f'{", ".join(asked.required)}; a loss that takes '
                'student_feats is accepted, such as AttentionTransferLoss.'
            )

    def fields(self) -> Fields:
        """Return the base's fields, with one half as the student's maps."""
        return Fields(
            *(
                tuple(
                    self.half_field if field == 'student_feats' else field
                    for field in fields
                )
                for fields in self.base.fields()
            )
        )

    def of_half(self, knowledge: dict) -> Tensor:
        """Return the base loss of one half."""
        knowledge = dict(knowledge)
        feats = knowledge.pop(self.half_field)
        return self.base(student_feats=feats, **knowledge)


@MODELS.register_module()
class InheritMapLoss(_HalfLoss):
    """Feature map loss applied to the inheriting half: IE-AT, IE-OD.

    Args:
        base: Config of a loss that takes ``student_feats``; its own weight is
            applied as well.
        loss_weight: Constant factor of the loss, at least 0.

    Raises:
        UserError: The base is unknown or takes no feature maps, or a weight is
            negative.

    Paper: https://arxiv.org/abs/2107.00181
    """

    half_field = 'student_inherit_feats'

    def forward(self, **knowledge: Maps) -> Tensor:
        """Return the weighted loss as a scalar.

        Args:
            knowledge: The fields listed by :meth:`fields`.
        """
        return self.weigh(self.of_half(knowledge))


@MODELS.register_module()
class ExploreMapLoss(_HalfLoss):
    r"""Negative feature map loss applied to the exploring half.

    .. math:: L = -\min(\operatorname{base}, b)

    Args:
        base: Config of a loss that takes ``student_feats``; its own weight is
            applied as well.
        bound: :math:`b`, required if the base has no upper bound, such as OFD;
            larger values of the base get no gradient.
        loss_weight: Constant factor of the loss, at least 0; the sign is part
            of the loss.

    Raises:
        UserError: The base is unknown or takes no feature maps, a weight is
            negative, or the bound is not positive.

    Paper: https://arxiv.org/abs/2107.00181
    """

    half_field = 'student_explore_feats'

    def __init__(
        self,
        base: dict,
        bound: float | None = None,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(base, loss_weight)
        if bound is not None:
            check_positive(self, 'bound', bound)
        elif not self.base.bounded:
            raise UserError(
                f'ExploreMapLoss: {type(self.base).__name__} has no upper '
                'bound, so its negative is unbounded; set a bound, e.g. '
                'bound=1.0.'
            )
        self.bound = bound

    def forward(self, **knowledge: Maps) -> Tensor:
        """Return the weighted loss as a scalar.

        Args:
            knowledge: The fields listed by :meth:`fields`.
        """
        value = self.of_half(knowledge)
        if self.bound is not None:
            value = value.clamp(max=self.bound)
        return self.weigh(-value)
