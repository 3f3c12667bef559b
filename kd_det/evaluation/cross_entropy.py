"""CrossEntropy: the loss on validation images."""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric

from kd_det.registry import METRICS


@METRICS.register_module()
class CrossEntropy(BaseMetric):
    r"""Mean cross-entropy of a classifier's predictions.

    .. math:: L = -\frac1N \sum_n \log p_{n, y_n}

    Unlike accuracy, it shows whether a student follows its teacher too
    closely. A probability of 0 in float32 is replaced by the smallest positive
    one.

    Args:
        collect_device: As in MMEngine.
        prefix: As in MMEngine.

    Example:
        >>> val_evaluator = [
        ...     dict(type='Accuracy'), dict(type='kd_det.CrossEntropy')]
    """

    default_prefix = 'eval'

    def __init__(
        self, collect_device: str = 'cpu', prefix: str | None = None
    ) -> None:
        super().__init__(collect_device, prefix)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Store the predicted probability of each sample's label."""
        for sample in data_samples:
            score = sample['pred_score'].float().cpu()
            self.results.append(score[int(sample['gt_label'])])

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the mean."""
        least = torch.finfo(torch.float32).tiny
        value = -torch.stack(results).clamp(min=least).double().log().mean()
        return dict(cross_entropy=value.item())
