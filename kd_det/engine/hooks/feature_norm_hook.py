"""FeatureNormHook: log the norms and the direction of embeddings."""

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor
from torch.nn.functional import cosine_similarity

from kd_det.distillers import Distiller
from kd_det.registry import HOOKS


@HOOKS.register_module()
class FeatureNormHook(Hook):
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

    priority = 'NORMAL'

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self._handles = []

    def before_train(self, runner) -> None:
        """Find the distillers with embeddings."""
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        self.distillers = {
            name: distiller
            for name, distiller in getattr(model, 'distill', {}).items()
            if 'student_embed' in distiller.provides
        }
        if not self.distillers:
            runner.logger.warning(
                'FeatureNormHook logs nothing: no distiller has embeddings.'
            )

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Listen to the distillers in a step that is logged."""
        if not self.every_n_inner_iters(batch_idx, self.interval):
            return
        for name, distiller in self.distillers.items():

            def log(distiller, args, name=name):
                for key, value in feature_norms(distiller, args[0]).items():
                    runner.message_hub.update_scalar(
                        f'train/{name}.{key}', value
                    )

            self._handles.append(distiller.register_forward_pre_hook(log))

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        """Stop listening."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()


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
