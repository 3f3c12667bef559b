"""Warn about frozen layers with random weights."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from kd_det.models.unwrap import unwrap
from kd_det.preflight.pretrained_weights import pretrained


def warn_of_frozen(runner) -> None:
    """Warn if parts of a backbone are frozen at random weights.

    MMDetection's configs freeze stages and batch norms, since they start from
    pretrained weights.

    Args:
        runner: The runner, before training.
    """
    if runner.cfg.get('load_from') or runner.cfg.get('resume'):
        return
    model = unwrap(runner.model)
    place = 'model.student' if hasattr(model, 'student') else 'model'
    model = getattr(model, 'student', model)
    backbone = getattr(model, 'backbone', None)
    if backbone is None or pretrained(model) or pretrained(backbone):
        return
    mend = frozen_keys(backbone)
    if mend:
        found = ', '.join(f'{key}={was}' for key, (was, _) in mend.items())
        options = ' '.join(
            f'{place}.backbone.{key}={new}' for key, (_, new) in mend.items()
        )
        runner.logger.warning(
            f'The {type(backbone).__name__} starts from random weights, but '
            f'some of them are frozen by {found}; give it weights '
            f'({place}.backbone.init_cfg), or train them: --cfg-options '
            f'{options}.'
        )


def frozen_keys(backbone: nn.Module) -> dict[str, tuple[object, object]]:
    """Return argument -> its value and the value that trains all weights."""
    mend = {}
    stages = getattr(backbone, 'frozen_stages', -1)
    if isinstance(stages, int) and stages >= 0:
        mend['frozen_stages'] = (stages, -1)
    if any(isinstance(module, _BatchNorm) for module in backbone.modules()):
        if getattr(backbone, 'norm_eval', False):
            mend['norm_eval'] = (True, False)
        norm = getattr(backbone, 'norm_cfg', None) or {}
        if norm.get('requires_grad', True) is False:
            mend['norm_cfg.requires_grad'] = (False, True)
    return mend
