"""ChannelsLastHook: keep the student in the faster memory layout."""

import torch
from mmengine.hooks import Hook

from kd_det.models.unwrap import unwrap
from kd_det.registry import HOOKS


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Keep the convolutions of the trained network in channels-last layout.

    They run faster this way on a CPU, and on a GPU in half precision; results
    are equal up to rounding. The teacher has its own option,
    ``teacher=dict(channels_last=True)``.

    Example:
        >>> custom_hooks = [dict(type='kd_det.ChannelsLastHook')]
    """

    def before_train(self, runner) -> None:
        """Change the layout in place; the optimiser keeps its references."""
        model = unwrap(runner.model)
        student = getattr(model, 'student', model)
        student.to(memory_format=torch.channels_last)
