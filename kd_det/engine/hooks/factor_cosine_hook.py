"""FactorCosineHook: check whether the exploring half explores."""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from kd_det.distillers import Distiller
from kd_det.engine.hooks.knowledge_hook import KnowledgeHook
from kd_det.losses.levels import same_sizes
from kd_det.registry import HOOKS


@HOOKS.register_module()
class FactorCosineHook(KnowledgeHook):
    r"""Log the similarity of the student's and the teacher's factors.

    ``<distiller>.inherit_cosine`` is the cosine of the factors, averaged over
    samples and levels; ``.explore_cosine`` is the average of its absolute
    value. The exploration loss of IE-KD has a trivial optimum, the negated
    teacher factor; ``explore_cosine`` near 1 indicates it. Without a split,
    ``.factor_cosine`` is logged.

    Args:
        interval: Steps between measurements within an epoch; preferably the
            logger's interval.

    Paper: https://arxiv.org/abs/2107.00181

    Example:
        >>> custom_hooks = [dict(type='kd_det.FactorCosineHook', interval=50)]
    """

    field = 'teacher_factors'
    lacking = 'factors'

    def __init__(self, interval: int = 50) -> None:
        super().__init__(interval)

    def quantities(
        self, distiller: Distiller, knowledge: dict
    ) -> dict[str, float]:
        """Return the cosines of the available factors."""
        return factor_cosines(knowledge)


@torch.no_grad()
def factor_cosines(knowledge: dict[str, tuple[Tensor, ...]]) -> dict:
    """Return the quantities that :class:`FactorCosineHook` logs.

    Args:
        knowledge: May contain factors, one (N, m, H, W) per level.
    """
    fields = dict(
        inherit_cosine='student_inherit_factors',
        explore_cosine='student_explore_factors',
        factor_cosine='student_factors',
    )
    values = {}
    for name, field in fields.items():
        if field not in knowledge:
            continue
        cosines = torch.stack(
            [
                cosine_similarity(
                    *(side.float().flatten(1) for side in same_sizes(*pair))
                )
                for pair in zip(knowledge[field], knowledge['teacher_factors'])
            ]
        )
        values[name] = cosines.abs() if 'explore' in name else cosines
    return {name: value.mean().item() for name, value in values.items()}
