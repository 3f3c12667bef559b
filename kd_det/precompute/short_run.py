"""Temporary runs of a few steps, for measurements."""

import copy
import os.path as osp
import tempfile
from collections.abc import Callable

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from kd_det.errors import UserError

MADE_FIRST = (
    'AnswerCacheHook',
    'AutoEncoderHook',
    'CentroidHook',
    'StitchHook',
)


class Done(Exception):
    """Raised by a hook to end a short run."""


def short_run(
    cfg: Config,
    hook: Hook,
    steps: int,
    kept: tuple[str, ...] = MADE_FIRST,
    check: Callable[[Runner], None] | None = None,
) -> None:
    """Train until a hook raises :class:`Done`, without saving anything.

    Validation, logs, checkpoints, and hooks of the config that are not in
    ``kept`` are removed.

    Args:
        cfg: Config from :func:`kd_det.api.launch.prepare`; not modified.
        hook: Hook that measures and raises :class:`Done`.
        steps: Number of steps that the hook needs.
        kept: Suffixes of the hook types to keep.
        check: Called with the runner before training.

    Raises:
        UserError: The training has too few steps, or any error of the run.
    """
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner.from_cfg(_trimmed(cfg, folder, kept))
        for key in ('val_dataloader', 'val_evaluator', 'test_dataloader'):
            # class means need a test pipeline, the teacher check needs images
            runner.cfg[key] = copy.deepcopy(cfg.get(key))
        if check:
            check(runner)
        length = runner.train_loop.max_iters
        if length < steps:
            raise UserError(
                f'{steps} steps are needed to measure, but the training has '
                f'{length}; use fewer, or train longer.'
            )
        runner.register_hook(hook)
        try:
            runner.train()
        except Done:
            return


def _trimmed(cfg: Config, folder: str, kept: tuple[str, ...]) -> Config:
    """Return the config reduced to training."""
    cfg = copy.deepcopy(cfg)
    cfg.work_dir = folder
    # MMEngine looks up visualisers by name, and theirs would write here
    cfg.experiment_name = osp.basename(folder)
    cfg.resume = False
    cfg.log_level = 'WARNING'
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    cfg.default_hooks = dict(
        checkpoint=dict(type='CheckpointHook', interval=-1, save_last=False)
    )
    cfg.custom_hooks = [
        hook
        for hook in cfg.get('custom_hooks') or []
        if str(hook.get('type')).endswith(kept)
    ]
    for distiller in (cfg.model.get('distillers') or {}).values():
        for loss in distiller.losses.values():
            loss.pop('auto_weight', None)
    return cfg
