"""FactorCosineHook: does the exploring half explore?"""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from kd_det.distillers import Distiller
from kd_det.engine.hooks.knowledge_hook import KnowledgeHook
from kd_det.losses.levels import same_sizes
from kd_det.registry import HOOKS


@HOOKS.register_module()
class FactorCosineHook(KnowledgeHook):
    r"""Log how alike the factors of the student and the teacher are.

    ``<distiller>.inherit_cosine``: mean over samples and levels of the
    cosine of the factors; ``.explore_cosine``: the same of its absolute
    value. The exploration loss of IE-KD has an optimum that explores
    nothing, the teacher's factor negated: ``explore_cosine`` near 1 shows
    it. Without a split it is ``.factor_cosine``.

    Args:
        interval: Steps within an epoch; best the logger's.

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
        """Return the cosines of the factors that there are."""
        return factor_cosines(knowledge)


@torch.no_grad()
def factor_cosines(knowledge: dict[str, tuple[Tensor, ...]]) -> dict:
    """Return the quantities that :class:`FactorCosineHook` logs.

    Args:
        knowledge: Perhaps with factors, levels of (N, m, H, W).
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
