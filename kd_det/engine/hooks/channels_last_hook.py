"""ChannelsLastHook: the student's weights in the faster memory layout."""

import torch
from mmengine.hooks import Hook

from kd_det.models.unwrap import unwrap
from kd_det.registry import HOOKS


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Keep the convolutions of the trained network in channels-last layout.

    On a CPU, and on a GPU in half precision, they run faster so; the sums
    are the same up to rounding. A teacher has its own switch,
    ``teacher=dict(channels_last=True)``.

    Example:
        >>> custom_hooks = [dict(type='kd_det.ChannelsLastHook')]
    """

    def before_train(self, runner) -> None:
        """Change the layout in place; the optimiser keeps its weights."""
        model = unwrap(runner.model)
        student = getattr(model, 'student', model)
        student.to(memory_format=torch.channels_last)
