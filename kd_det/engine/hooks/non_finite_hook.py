"""NonFiniteHook: stop at the first NaN, before it reaches the weights."""

from functools import partial

import torch
from mmengine.dist import all_reduce, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.utils import is_list_of
from torch import Tensor

from kd_det.engine.atomic_backend import ATOMIC
from kd_det.errors import UserError
from kd_det.models.unwrap import unwrap
from kd_det.registry import HOOKS

MAX_IMAGES = 8
OTHER = 'the sum of the losses, or one of another rank, is not finite'


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Stop before the optimiser steps with a NaN or infinite loss.

    It checks the losses that any MMEngine model returns, before they are
    back-propagated, on all ranks, so that all stop at once. The error names
    the losses and the images. The weights and buffers from before iteration N,
    including the batch-norm statistics, are saved as
    ``non_finite_iter_<N>.pth``.

    Raises:
        UserError: A loss is NaN or infinite.

    Example:
        >>> custom_hooks = [dict(type='kd_det.NonFiniteHook')]
    """

    priority = 'VERY_LOW'  # after any hook that replaces the model

    def __init__(self) -> None:
        self._handles = []

    def before_train(self, runner) -> None:
        """Start watching the model."""
        model = unwrap(runner.model)
        self._owners = [m for m in model.modules() if m._buffers]
        self._handles = [
            model.register_forward_pre_hook(self._keep_buffers),
            model.register_forward_hook(
                partial(self._check, runner), with_kwargs=True
            ),
        ]

    def after_train(self, runner) -> None:
        """Stop watching the model."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _keep_buffers(self, model, args) -> None:
        self._kept = [
            (owner, name, buffer.clone())
            for owner in self._owners
            if owner.training  # frozen statistics do not change
            for name, buffer in owner.named_buffers(recurse=False)
        ]

    def _check(self, runner, model, args, kwargs, output) -> None:
        if not (model.training and isinstance(output, dict)):
            return
        losses = {}
        for name, value in output.items():
            parts = [value] if isinstance(value, Tensor) else value
            # MMEngine sums these and rejects other types itself
            if 'loss' in name and parts and is_list_of(parts, Tensor):
                losses[name] = sum(p.detach().mean().float() for p in parts)
        if not losses:
            return
        # one number to synchronise: a sum is finite only if its terms are
        total = torch.stack(list(losses.values())).sum()
        if get_world_size() > 1:
            all_reduce(total)
        if not torch.isfinite(total):
            self._stop(runner, losses, _images(args, kwargs))

    def _stop(self, runner, losses: dict[str, Tensor], images: str) -> None:
        self.after_train(runner)
        for owner, name, buffer in self._kept:
            setattr(owner, name, buffer)
        number = runner.iter + 1
        filename = f'non_finite_iter_{number}.pth'
        runner.save_checkpoint(
            runner.work_dir,
            filename,
            save_param_scheduler=runner.param_schedulers is not None,
            meta=dict(epoch=runner.epoch, iter=runner.iter),
            backend_args=dict(backend=ATOMIC),
        )
        what = ' and '.join(
            f'{name} is {value.item()}'
            for name, value in losses.items()
            if not value.isfinite()
        )
        saved = is_main_process()
        raise UserError(
            f'Iteration {number}: {what or OTHER}'
            f'{", with images " + images if images else ""}; '
            + (f'the weights before it are in {filename!r}; ' * saved)
            + 'lower the learning rate or warm it up longer, lower the '
            'weight of that loss, clip gradients, train without AMP, or '
            'look at these images.'
        )


def _images(args: tuple, kwargs: dict) -> str:
    samples = kwargs.get('data_samples', args[1] if len(args) > 1 else None)
    if not isinstance(samples, list | tuple):
        return ''
    paths = [str(getattr(sample, 'img_path', '')) for sample in samples]
    paths = [path for path in paths if path]
    more = ', …' if len(paths) > MAX_IMAGES else ''
    return ', '.join(paths[:MAX_IMAGES]) + more
