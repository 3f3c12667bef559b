"""FeatureNormHook: log the norms and the direction of embeddings."""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from kd_det.distillers import Distiller
from kd_det.engine.hooks.knowledge_hook import KnowledgeHook
from kd_det.registry import HOOKS


@HOOKS.register_module()
class FeatureNormHook(KnowledgeHook):
    """Log what ND is about, for each distiller that has embeddings.

    ``<distiller>.student_norm``, ``.teacher_norm``: mean norms;
    ``.norm_ratio``: the first over the second; ``.centroid_cosine``: mean
    cosine of the student's embedding and the class mean of its label, where
    there are class means. Means are over the rows of one step of rank 0,
    the foreground rows where there is a background; a step without any logs
    nothing. Steps between cost nothing.

    Args:
        interval: Steps within an epoch; best the logger's.

    Paper: https://arxiv.org/abs/2305.17007

    Example:
        >>> custom_hooks = [dict(type='kd_det.FeatureNormHook', interval=50)]
    """

    field = 'student_embed'
    lacking = 'embeddings'

    def __init__(self, interval: int = 50) -> None:
        super().__init__(interval)

    def quantities(
        self, distiller: Distiller, knowledge: dict
    ) -> dict[str, float]:
        """Return the norms, and the cosine where there are class means."""
        return feature_norms(distiller, knowledge)


@torch.no_grad()
def feature_norms(
    distiller: Distiller, knowledge: dict[str, Tensor]
) -> dict[str, float]:
    """Return the quantities that :class:`FeatureNormHook` logs.

    Args:
        distiller: May have class means.
        knowledge: What it read, perhaps with ``student_embed`` (N, D).
    """
    if 'student_embed' not in knowledge:  # no loss has asked for it
        return {}
    keep = knowledge.get('foreground', slice(None))
    student = knowledge['student_embed'][keep].float()
    if len(student) == 0:
        return {}
    values = {'student_norm': student.norm(dim=1).mean()}
    if 'teacher_embed' in knowledge:
        teacher = knowledge['teacher_embed'][keep].float()
        values['teacher_norm'] = teacher.norm(dim=1).mean()
        values['norm_ratio'] = values['student_norm'] / values['teacher_norm']
    labels = knowledge.get('labels')
    # mixed labels have no class mean of their own
    hard = labels is not None and not labels.is_floating_point()
    if distiller.bank is not None and hard:
        means = distiller.centroids[labels[keep]]
        if means.shape == student.shape:
            cosine = cosine_similarity(student, means, dim=1)
            values['centroid_cosine'] = cosine.mean()
    return dict(zip(values, torch.stack(list(values.values())).tolist()))
