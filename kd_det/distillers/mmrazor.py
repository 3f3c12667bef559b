"""Recorder of class means for mmrazor's ConfigurableDistiller."""

import torch
from torch import Tensor, nn

from kd_det.centroids import CentroidBank
from kd_det.registry import TASK_UTILS


@TASK_UTILS.register_module()
class CentroidsRecorder:
    """mmrazor recorder that returns a teacher's class means.

    Use it in ``teacher_recorders``::

        centroids=dict(type='kd_det.Centroids', source='centroids.npz')

    Args:
        source: Centroid file.
    """

    def __init__(self, source: str) -> None:
        self.source = source

    def initialize(self, model: nn.Module) -> None:
        """Read the centroid file.

        Args:
            model: The teacher, whose device is used.
        """
        self._parameter = next(model.parameters())
        self._means = torch.from_numpy(
            CentroidBank.load(self.source).centroids
        )

    def __enter__(self) -> None:
        """Do nothing, since no forward pass is recorded."""

    def __exit__(self, *_) -> None:
        """Do nothing."""

    def get_record_data(
        self, record_idx: int = 0, data_idx: int | None = None
    ) -> Tensor:
        """Return the class means (K, D).

        Args:
            record_idx: Unused.
            data_idx: Unused.
        """
        self._means = self._means.to(self._parameter.device)
        return self._means
