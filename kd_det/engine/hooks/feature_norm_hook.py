"""FeatureNormHook: log the norm and direction of embeddings."""

import logging

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.nn.functional import cosine_similarity

from kd_det.distillers import Distiller
from kd_det.engine.hooks.knowledge_hook import KnowledgeHook
from kd_det.functional import linear_cka
from kd_det.registry import HOOKS

# norm ratio above which a class-mean loss distorts the embedding
TOO_LONG = 1.5


@HOOKS.register_module()
class FeatureNormHook(KnowledgeHook):
    """Log the quantities behind ND for each distiller that has embeddings.

    ``<distiller>.student_norm``, ``.teacher_norm``: mean norms, the teacher's
    of the classes with ``NDLoss(norm='class')``; ``.norm_ratio``: the first
    divided by the second; ``.centroid_cosine``: mean cosine of the student's
    embedding and the class mean of its label, if there are class means;
    ``.embed_cka``: debiased linear CKA of the two networks' embeddings, for
    four rows or more. All use the rows of one step on rank 0, only foreground
    rows if there is a background class; a step without rows logs nothing. The
    steps in between have no overhead.

    Warns once if a loss uses class means and the norm ratio exceeds 1.5: above
    the teacher's norm, such a loss no longer limits the student's.

    Args:
        interval: Steps between measurements within an epoch; preferably the
            logger's interval.

    Paper: https://arxiv.org/abs/2305.17007

    Example:
        >>> custom_hooks = [dict(type='kd_det.FeatureNormHook', interval=50)]
    """

    field = 'student_embed'
    lacking = 'embeddings'

    def __init__(self, interval: int = 50) -> None:
        super().__init__(interval)
        self._warned: set[str] = set()

    def quantities(
        self, distiller: Distiller, knowledge: dict
    ) -> dict[str, float]:
        """Return the norms, and the cosine if there are class means."""
        values = feature_norms(distiller, knowledge)
        ratio = values.get('norm_ratio', 0.0)
        if ratio > TOO_LONG and 'centroids' in distiller.asked:
            self._warn(distiller, ratio)
        return values

    def _warn(self, distiller: Distiller, ratio: float) -> None:
        """Warn once per distiller that its embeddings have become too long."""
        if distiller.name in self._warned:
            return
        self._warned.add(distiller.name)
        losses = [
            f'{distiller.name}.losses.{name}.loss_weight'
            for name, fields in distiller.wiring.items()
            if 'centroids' in fields
        ]
        through = (
            ''
            if 'student_embed' in distiller.connectors.cfgs
            else 'pass the embedding through a connector, '
            f'model.distillers.{distiller.name}.connectors='
            "dict(student_embed=dict(type='EmbeddingAdaptor')), as in "
            'configs/_base_/methods/nd_adaptor_roi.py, or '
        )
        print_log(
            f"{distiller.name}: the student's embeddings are {ratio:.2f} "
            "times as long as the teacher's (norm_ratio): an offset common "
            'to all classes raises their cosine to the class means and '
            "degrades the student's own classification layer; "
            f'{through}lower model.distillers.{", ".join(losses)}.',
            'current',
            level=logging.WARNING,
        )


@torch.no_grad()
def feature_norms(
    distiller: Distiller, knowledge: dict[str, Tensor]
) -> dict[str, float]:
    """Return the quantities that :class:`FeatureNormHook` logs.

    Args:
        distiller: Its class means are used if it has any.
        knowledge: What it read; may contain ``student_embed`` (N, D).
    """
    if 'student_embed' not in knowledge:  # no loss has requested it
        return {}
    keep = knowledge.get('foreground', slice(None))
    student = knowledge['student_embed'][keep].float()
    if len(student) == 0:
        return {}
    values = {'student_norm': student.norm(dim=1).mean()}
    if 'teacher_embed' in knowledge:
        teacher = knowledge['teacher_embed'][keep].float()
        values['teacher_norm'] = teacher.norm(dim=1).mean()
        if len(student) >= 4:
            values['embed_cka'] = linear_cka(student, teacher, debiased=True)
    labels = knowledge.get('labels')
    # mixed labels have no class mean
    hard = labels is not None and not labels.is_floating_point()
    if 'class_norms' in distiller.asked and hard:
        norms = distiller.class_norms[labels[keep]]
        values |= _mean('teacher_norm', norms, norms > 0)
    if 'teacher_norm' in values:
        values['norm_ratio'] = values['student_norm'] / values['teacher_norm']
    if distiller.bank is not None and hard:
        means = distiller.centroids[labels[keep]]
        if means.shape == student.shape:
            cosine = cosine_similarity(student, means, dim=1)
            values |= _mean('centroid_cosine', cosine, means.any(1))
    return dict(zip(values, torch.stack(list(values.values())).tolist()))


def _mean(name: str, values: Tensor, known: Tensor) -> dict[str, Tensor]:
    """Return the mean over rows of classes that the teacher knows."""
    return {name: values[known].mean()} if known.any() else {}
