"""What the losses of kd_det need inside mmrazor's ConfigurableDistiller."""

import torch
from torch import Tensor, nn

from kd_det.centroids import CentroidBank
from kd_det.registry import TASK_UTILS


@TASK_UTILS.register_module()
class CentroidsRecorder:
    """A recorder of mmrazor whose only record are a teacher's class means.

    In ``teacher_recorders``, as mmrazor writes recorders::

        centroids=dict(type='kd_det.Centroids', source='centroids.npz')

    Args:
        source: File of the class means.
    """

    def __init__(self, source: str) -> None:
        self.source = source

    def initialize(self, model: nn.Module) -> None:
        """Read the file.

        Args:
            model: The teacher; the means are where it is.
        """
        self._parameter = next(model.parameters())
        self._means = torch.from_numpy(
            CentroidBank.load(self.source).centroids
        )

    def __enter__(self) -> None:
        """Do nothing: no forward is listened to."""

    def __exit__(self, *_) -> None:
        """Do nothing."""

    def get_record_data(
        self, record_idx: int = 0, data_idx: int | None = None
    ) -> Tensor:
        """Return the class means (K, D).

        Args:
            record_idx: Not used.
            data_idx: Not used.
        """
        self._means = self._means.to(self._parameter.device)
        return self._means
