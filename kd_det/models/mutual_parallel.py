"""MutualDataParallel: train peers in several processes."""

import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapperDict

from kd_det.models.mutual_model import MutualModel
from kd_det.registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class MutualDataParallel(MMDistributedDataParallel):
    """Average the gradients of a ``MutualModel`` over processes.

    Peers are updated one after the other, so at each update the other peers'
    weights have no gradient; they are searched for as unused parameters. The
    tools choose this wrapper automatically.

    Args:
        module: The model, on its device.
        device_ids: The device, or None.

    Example:
        >>> model_wrapper_cfg = dict(type='kd_det.MutualDataParallel')
    """

    def __init__(
        self, module: MutualModel, device_ids: list[int] | None = None
    ) -> None:
        super().__init__(
            module,
            device_ids=device_ids,
            broadcast_buffers=False,
            find_unused_parameters=True,
        )

    def train_step(
        self, data: dict, optim_wrapper: OptimWrapperDict
    ) -> dict[str, torch.Tensor]:
        """Update the peers; see ``MutualModel.train_step``."""
        return self.module.train_step(data, optim_wrapper, through=self)
