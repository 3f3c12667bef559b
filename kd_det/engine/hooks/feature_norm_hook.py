"""FeatureNormHook: log the norms and the direction of embeddings."""

import logging

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.nn.functional import cosine_similarity

from kd_det.distillers import Distiller
from kd_det.engine.hooks.knowledge_hook import KnowledgeHook
from kd_det.functional import linear_cka
from kd_det.registry import HOOKS

# ratio of norms from which a loss of class means is bending the embedding
TOO_LONG = 1.5


@HOOKS.register_module()
class FeatureNormHook(KnowledgeHook):
    """Log what ND is about, for each distiller that has embeddings.

    ``<distiller>.student_norm``, ``.teacher_norm``: mean norms;
    ``.norm_ratio``: the first over the second; ``.centroid_cosine``: mean
    cosine of the student's embedding and the class mean of its label, where
    there are class means; ``.embed_cka``: linear CKA of the two networks'
    embeddings, debiased, of four rows or more. All are over the rows of one
    step of rank 0, the foreground rows where there is a background; a step
    without any logs nothing. Steps between cost nothing.

    Warns once if a loss compares with class means and the norm ratio is
    above 1.5: from the teacher's norm on, such a loss no longer limits it.

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
        self._warned: set[str] = set()

    def quantities(
        self, distiller: Distiller, knowledge: dict
    ) -> dict[str, float]:
        """Return the norms, and the cosine where there are class means."""
        values = feature_norms(distiller, knowledge)
        ratio = values.get('norm_ratio', 0.0)
        if ratio > TOO_LONG and 'centroids' in distiller.asked:
            self._warn(distiller, ratio)
        return values

    def _warn(self, distiller: Distiller, ratio: float) -> None:
        """Say once a distiller that its embeddings have become too long."""
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
            else 'let the embedding pass through a connector, '
            f'model.distillers.{distiller.name}.connectors='
            "dict(student_embed=dict(type='EmbeddingAdaptor')), as in "
            'configs/_base_/methods/nd_adaptor_roi.py, or '
        )
        print_log(
            f"{distiller.name}: the student's embeddings are {ratio:.2f} "
            "times as long as the teacher's (norm_ratio): an offset common "
            'to all classes raises their cosine to the class means and '
            "makes the student's own class layer worse; "
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
        if len(student) >= 4:
            values['embed_cka'] = linear_cka(student, teacher, debiased=True)
    labels = knowledge.get('labels')
    # mixed labels have no class mean of their own
    hard = labels is not None and not labels.is_floating_point()
    if distiller.bank is not None and hard:
        means = distiller.centroids[labels[keep]]
        if means.shape == student.shape:
            cosine = cosine_similarity(student, means, dim=1)
            values['centroid_cosine'] = cosine.mean()
    return dict(zip(values, torch.stack(list(values.values())).tolist()))
