"""Check that a config has all parts of training, validation and test."""

from mmengine.config import Config

from kd_det.errors import UserError

# keys of which MMEngine needs all or none
PARTS = {
    'train': ('train_dataloader', 'train_cfg', 'optim_wrapper'),
    'val': ('val_dataloader', 'val_cfg', 'val_evaluator'),
    'test': ('test_dataloader', 'test_cfg', 'test_evaluator'),
}
VERBS = dict(train='train', val='validate', test='test')


def check_loops(cfg: Config, needed: str) -> None:
    """Raise if a loop lacks a part, or a part needs a missing loop.

    Args:
        cfg: The run's config.
        needed: The loop that will run: ``'train'`` or ``'test'``.

    Raises:
        UserError: A part is missing.
    """
    for split, keys in PARTS.items():
        there = [key for key in keys if cfg.get(key) is not None]
        absent = [key for key in keys if cfg.get(key) is None]
        if absent and split == needed:
            raise UserError(
                f'The config cannot {split}, since it has no '
                f'{" and no ".join(absent)}; {_fix(absent, split)}.'
            )
        if absent and there:
            raise UserError(
                f'The config has {" and ".join(there)}, but no '
                f'{" and no ".join(absent)}; add it, or set all three to '
                f'None in order not to {VERBS[split]}.'
            )
    if needed == 'train' and not cfg.get('val_cfg'):
        _check_waiting(cfg)


def _fix(absent: list[str], split: str) -> str:
    if split == 'train':
        return 'give a training config'
    lines = [
        "test_cfg = dict(type='TestLoop')"
        if key == 'test_cfg'
        else f'{key} = {key.replace("test", "val")}'
        for key in absent
    ]
    return f'to test on the validation data, write {"; ".join(lines)}'


def _check_waiting(cfg: Config) -> None:
    """Raise if something needs validation scores but there are none."""
    hooks = [*(cfg.get('default_hooks') or {}).values()]
    hooks += cfg.get('custom_hooks') or []
    for hook in filter(None, hooks):
        kind = str(hook.get('type'))
        if hook.get('save_best'):
            waiting = f'{kind} with save_best={hook["save_best"]!r}'
        elif kind.endswith('EarlyStoppingHook'):
            waiting = kind
        else:
            continue
        _refuse(waiting)
    schedulers = cfg.get('param_scheduler') or ()
    if isinstance(schedulers, dict):
        schedulers = [schedulers]
    for scheduler in schedulers:
        if 'ReduceOnPlateau' in str(scheduler.get('type')):
            _refuse(str(scheduler['type']))


def _refuse(waiting: str) -> None:
    raise UserError(
        f'The config has {waiting}, which waits for a validation score, but '
        'no val_dataloader, val_cfg and val_evaluator; add them, or take it '
        'out.'
    )
