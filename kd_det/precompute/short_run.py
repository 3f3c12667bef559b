"""The first steps of a run, for what is measured there and thrown away."""

import copy
import os.path as osp
import tempfile

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from kd_det.errors import UserError

MADE_FIRST = ('CentroidHook', 'AutoEncoderHook', 'StitchHook')


class Done(Exception):
    """Raised by the hook of a short run to end it."""


def short_run(
    cfg: Config, hook: Hook, steps: int, kept: tuple[str, ...] = MADE_FIRST
) -> None:
    """Train until a hook raises :class:`Done`; keep nothing.

    Validation, logs and checkpoints are left out, and every hook of the
    config whose type is not among ``kept``.

    Args:
        cfg: From :func:`kd_det.api.launch.prepare`; left as it is.
        hook: Measures, and raises :class:`Done`.
        steps: That the hook needs.
        kept: Ends of the types of hooks that run too.

    Raises:
        UserError: The training has fewer steps; or what stops any run.
    """
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner.from_cfg(_trimmed(cfg, folder, kept))
        for key in ('val_dataloader', 'val_evaluator', 'test_dataloader'):
            # class means need a pipeline, the check of the teacher images
            runner.cfg[key] = copy.deepcopy(cfg.get(key))
        length = runner.train_loop.max_iters
        if length < steps:
            raise UserError(
                f'{steps} steps are needed to measure, and the training has '
                f'{length}; ask for fewer, or train for longer.'
            )
        runner.register_hook(hook)
        try:
            runner.train()
        except Done:
            return


def _trimmed(cfg: Config, folder: str, kept: tuple[str, ...]) -> Config:
    """Return the run with nothing in it but training."""
    cfg = copy.deepcopy(cfg)
    cfg.work_dir = folder
    # MMEngine keeps its visualisers by this name, and theirs writes here
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
