"""IE-KD: one half of the student inherits, the other explores."""

from collections.abc import Callable, Sequence

from torch import Tensor

from kd_det.checks import check_choice, check_positive
from kd_det.errors import UserError
from kd_det.functional import exploration_loss, inheritance_loss
from kd_det.losses.base import DistillLoss, Fields
from kd_det.losses.levels import check_levels, same_sizes
from kd_det.registry import MODELS, build_part

Maps = Sequence[Tensor]
Masks = Sequence[Tensor | None]
NORMS = (1, 2, 'cos')


class _FactorLoss(DistillLoss):
    entrywise = False  # the factors are compared, their widths are given

    def __init__(self, p: int | str = 1, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.p = check_choice(self, 'p', p, NORMS)

    def over_levels(
        self, term: Callable, ours: Maps, theirs: Maps, masks: Masks | None
    ) -> Tensor:
        """Return the weighted mean over levels of a term of two factors."""
        check_levels(self, ours, theirs)
        masks = masks or [None] * len(ours)
        values = [
            self._level(term, *level) for level in zip(ours, theirs, masks)
        ]
        return self.weigh(sum(values) / len(values))

    def _level(
        self, term: Callable, ours: Tensor, theirs: Tensor, mask
    ) -> Tensor:
        ours, theirs = same_sizes(ours, theirs)
        value = term(ours, theirs, self.p)
        if self.p == 'cos' or mask is None or mask.shape[2:] != ours.shape[2:]:
            return value
        # padding is equal on both sides and shall not count in the mean
        share = mask.to(value.dtype).mean()
        return value / share ** (1 / self.p)


@MODELS.register_module()
class InheritanceLoss(_FactorLoss):
    r"""IE-KD, inheritance: pull a half's factor to the teacher's.

    .. math:: L = \frac1{levels} \sum_{levels} S_p(f, t)

    with :func:`kd_det.functional.inheritance_loss`. Cells that lie in
    padding do not count. Where the sizes differ, the larger factor is
    average-pooled to the smaller.

    Args:
        p: 1 (mean absolute difference of unit vectors), 2 (root mean square)
            or ``'cos'`` (1 - cosine).
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: There is no such ``p``.

    Paper: https://arxiv.org/abs/2107.00181
    """

    def forward(
        self,
        student_inherit_factors: Maps,
        teacher_factors: Maps,
        feat_masks: Masks | None = None,
    ) -> Tensor:
        """Return the weighted loss of factors (N, m, H, W) as a scalar."""
        return self.over_levels(
            inheritance_loss,
            student_inherit_factors,
            teacher_factors,
            feat_masks,
        )


@MODELS.register_module()
class ExplorationLoss(_FactorLoss):
    r"""IE-KD, exploration: push a half's factor away from the teacher's.

    .. math:: L = \frac1{levels} \sum_{levels} -S_p(f, t)

    with :func:`kd_det.functional.exploration_loss`, at most 0; for
    ``p='cos'`` the mean of :math:`|\cos|`, at least 0. For p 1 and 2 the
    negated teacher is an optimum and teaches nothing: watch
    ``explore_cosine`` of ``FactorCosineHook``.

    Args:
        p: 1, 2 or ``'cos'``.
        loss_weight: Constant factor of the loss, positive.

    Raises:
        UserError: There is no such ``p``.

    Paper: https://arxiv.org/abs/2107.00181
    """

    def forward(
        self,
        student_explore_factors: Maps,
        teacher_factors: Maps,
        feat_masks: Masks | None = None,
    ) -> Tensor:
        """Return the weighted loss of factors (N, m, H, W) as a scalar."""
        return self.over_levels(
            exploration_loss,
            student_explore_factors,
            teacher_factors,
            feat_masks,
        )


class _HalfLoss(DistillLoss):
    entrywise = False  # the base looks at a half, not at the student's maps
    half = ''

    def __init__(self, base: dict, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        if isinstance(base, dict):  # names resolve here in any default scope
            base = {'_scope_': 'kd_det', **base}
        name = f'base of {type(self).__name__}'
        self.base = build_part(name, base, DistillLoss)
        asked = self.base.fields()
        if 'student_feats' not in asked.required:
            raise UserError(
                f'{name} is {type(self.base).__name__}, which takes '
                f'{", ".join(asked.required)}; one that takes student_feats '
                'is accepted, such as AttentionTransferLoss.'
            )

    def fields(self) -> Fields:
        """Return the base's fields, with a half for the student's maps."""
        return Fields(
            *(
                tuple(
                    self.half if field == 'student_feats' else field
                    for field in fields
                )
                for fields in self.base.fields()
            )
        )

    def of_half(self, knowledge: dict) -> Tensor:
        """Return the base's loss of a half."""
        knowledge = dict(knowledge)
        return self.base(student_feats=knowledge.pop(self.half), **knowledge)


@MODELS.register_module()
class InheritMapLoss(_HalfLoss):
    """A loss on maps, applied to the half that inherits: IE-AT, IE-OD.

    Args:
        base: Config of a loss that takes ``student_feats``; its own weight
            counts too.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: The base does not exist or takes no maps.

    Paper: https://arxiv.org/abs/2107.00181
    """

    half = 'student_inherit_feats'

    def forward(self, **knowledge: Maps) -> Tensor:
        """Return the weighted loss as a scalar.

        Args:
            knowledge: The fields that :meth:`fields` names.
        """
        return self.weigh(self.of_half(knowledge))


@MODELS.register_module()
class ExploreMapLoss(_HalfLoss):
    r"""The negative of a loss on maps, on the half that explores.

    .. math:: L = -\min(\operatorname{base}, b)

    Args:
        base: Config of a loss that takes ``student_feats``; its own weight
            counts too.
        bound: :math:`b`, needed where the base has no upper bound, such as
            OFD's: what is at least so far away is left in peace.
        loss_weight: Constant factor of the loss, positive.

    Raises:
        UserError: The base does not exist or takes no maps, or the bound is
            not above 0.

    Paper: https://arxiv.org/abs/2107.00181
    """

    half = 'student_explore_feats'

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
                'bound, so its negative would grow for ever; say how far is '
                'far enough, e.g. bound=1.0.'
            )
        self.bound = bound

    def forward(self, **knowledge: Maps) -> Tensor:
        """Return the weighted loss as a scalar.

        Args:
            knowledge: The fields that :meth:`fields` names.
        """
        value = self.of_half(knowledge)
        if self.bound is not None:
            value = value.clamp(max=self.bound)
        return self.weigh(-value)


@MODELS.register_module()
class ReconstructionLoss(DistillLoss):
    r"""What a peer's own auto-encoder loses of the peer's maps: IE-DML.

    .. math:: L = \frac1{levels} \sum_{levels}
        \operatorname{mean} |a(f) - f|^p

    Only the auto-encoder learns from it: the maps are detached.

    Args:
        p: 1 or 2.
        loss_weight: Constant factor of the loss.

    Raises:
        UserError: There is no such ``p``.

    Paper: https://arxiv.org/abs/2107.00181
    """

    entrywise = False

    def __init__(self, p: int = 1, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.p = check_choice(self, 'p', p, (1, 2))

    def forward(
        self,
        student_reconstructions: Maps,
        student_feats: Maps,
        feat_masks: Masks | None = None,
    ) -> Tensor:
        """Return the weighted loss of maps (N, C, H, W) as a scalar."""
        return self.weigh(
            reconstruction(
                student_reconstructions, student_feats, feat_masks, self.p
            )
        )


def reconstruction(
    decoded: Maps, maps: Maps, masks: Masks | None = None, p: int = 1
) -> Tensor:
    """Return the mean of ``|decoded - map| ** p``, averaged over levels.

    Args:
        decoded: What an auto-encoder made of the maps.
        maps: The levels (N, C, H, W); detached.
        masks: Which cells of a level count, boolean (N, 1, H, W), or None.
        p: 1 or 2.
    """
    masks = masks or [None] * len(maps)
    values = []
    for ours, theirs, mask in zip(decoded, maps, masks):
        gap = (ours.float() - theirs.detach().float()).abs() ** p
        if mask is not None and mask.shape[2:] == gap.shape[2:]:
            mask = mask.expand_as(gap)
            gap = gap.where(mask, 0.0).sum() / mask.sum().clamp(min=1)
        values.append(gap.mean())
    return sum(values) / len(values)
