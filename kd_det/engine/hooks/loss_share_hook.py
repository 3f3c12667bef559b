"""LossShareHook: say so once if distillation drowns the task."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from kd_det.errors import UserError
from kd_det.registry import HOOKS


@HOOKS.register_module()
class LossShareHook(Hook):
    """Warn if one distillation loss is most of the total loss.

    It looks once, at the means over the first steps. A run whose task has
    no loss of its own, or none that is above 0, is left alone. A negative
    loss, such as that of IE-KD's exploring half, counts by its size.

    Args:
        share: Of the total, above which a loss is told, between 0 and 1.
        interval: Steps to look at; the last one of a shorter run ends them.

    Raises:
        UserError: An argument is out of range.

    Example:
        >>> custom_hooks = [dict(type='kd_det.LossShareHook', share=0.9)]
    """

    priority = 'NORMAL'  # after the losses have been noted

    def __init__(self, share: float = 0.8, interval: int = 50) -> None:
        if not 0 < share < 1 or interval < 1:
            raise UserError(
                f'LossShareHook: share={share!r}, interval={interval!r}; a '
                'share between 0 and 1 and an interval from 1 are accepted.'
            )
        self.share = share
        self.interval = interval

    def before_train(self, runner) -> None:
        """Begin to count."""
        self._steps = 0

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        """Look at the losses when enough steps are done."""
        self._steps += 1
        if self._steps > self.interval or not outputs:
            return
        if self._steps < self.interval and not self.is_last_train_iter(runner):
            return
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        hub = runner.message_hub
        means = {
            key: float(hub.get_scalar(f'train/{key}').mean(self._steps))
            for key in outputs
            if 'loss' in key and key != 'loss'
        }
        added = tuple(f'{name}.' for name in getattr(model, 'distill', {}))
        ours = {k: v for k, v in means.items() if k.startswith(added)}
        task = {k: v for k, v in means.items() if k not in ours}
        if not ours or sum(task.values()) <= 0:
            return
        most = max(ours, key=lambda key: abs(ours[key]))
        share = abs(ours[most]) / sum(map(abs, means.values()))
        if share > self.share:
            name, _, loss = most.partition('.')
            runner.logger.warning(
                f'{most} is {ours[most]:.4g} and {share:.0%} of the total '
                f'loss, beside {_listed(task)} of the task (means of '
                f'{self._steps} steps): if the student falls behind one '
                'without a teacher, lower model.distillers.'
                f'{name}.losses.{loss}.loss_weight.'
            )


def _listed(losses: dict[str, float]) -> str:
    return ', '.join(f'{key} {value:.4g}' for key, value in losses.items())
