"""LossScheduleHook: schedule the weight of a distillation loss."""

import math

from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop

from kd_det.engine.schedules import build_schedule
from kd_det.errors import UserError, nearest
from kd_det.losses import DistillLoss
from kd_det.models.unwrap import unwrap
from kd_det.registry import HOOKS


@HOOKS.register_module()
class LossScheduleHook(Hook):
    """Warm up, decay or stop individual losses of a pair, or of all peers.

    It sets the loss's ``scale``, a factor in addition to its ``loss_weight``.
    The scale is logged as ``<distiller>.<loss>_scale``, where the loss is
    named without its ``loss_`` prefix.

    Args:
        schedules: Distiller -> loss -> config of a schedule from
            ``kd_det.engine.schedules``, or a list of them, which are
            multiplied.

    Raises:
        UserError: A distiller, loss or schedule does not exist, or a schedule
            counts epochs in an iteration-based loop.

    Example:
        >>> custom_hooks = [dict(
        ...     type='kd_det.LossScheduleHook',
        ...     schedules=dict(
        ...         roi=dict(loss_kd=dict(type='WarmUp', epochs=20))))]
    """

    priority = 'NORMAL'

    def __init__(
        self, schedules: dict[str, dict[str, dict | list[dict]]]
    ) -> None:
        for name, losses in schedules.items():
            if not isinstance(losses, dict) or 'type' in losses:
                raise UserError(
                    f'LossScheduleHook: schedules has {name!r}: {losses!r}; '
                    'accepted is a distiller with its losses: '
                    "dict(roi=dict(loss_kd=dict(type='WarmUp', epochs=5)))."
                )
        self.schedules = {
            f'{name}.{key}': [
                build_schedule(cfg)
                for cfg in ([cfgs] if isinstance(cfgs, dict) else cfgs)
            ]
            for name, losses in schedules.items()
            for key, cfgs in losses.items()
        }

    def before_train(self, runner) -> None:
        """Find the losses and set their scales, including after a resume."""
        model = unwrap(runner.model)
        config_names = getattr(model, 'config_names', {})  # of peers
        losses: dict[str, list[DistillLoss]] = {}
        for name, distiller in getattr(model, 'distill', {}).items():
            for key, loss in distiller.losses.items():
                key = f'{config_names.get(name, name)}.{key}'
                losses.setdefault(key, []).append(loss)
        for key, schedules in self.schedules.items():
            if key not in losses:
                raise UserError(
                    f'LossScheduleHook: there is no loss {key!r}; accepted '
                    f'are {", ".join(losses) or "those of a DistillModel"}'
                    f'{nearest(key, losses)}'
                )
            if isinstance(runner.train_loop, IterBasedTrainLoop) and any(
                schedule.by_epoch for schedule in schedules
            ):
                raise UserError(
                    f'LossScheduleHook: a schedule of {key!r} counts epochs, '
                    'but an IterBasedTrainLoop has none; write '
                    'by_epoch=False and give iterations.'
                )
        self.losses = {key: losses[key] for key in self.schedules}
        self._set(runner, changed_only=False)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Set the scales of this iteration."""
        self._set(runner)

    def _set(self, runner, changed_only: bool = True) -> None:
        for key, schedules in self.schedules.items():
            scale = math.prod(
                schedule(runner.epoch if schedule.by_epoch else runner.iter)
                for schedule in schedules
            )
            losses = self.losses[key]
            if changed_only and losses[0].scale == scale:
                continue
            for loss in losses:
                loss.scale = scale
            distiller, _, name = key.partition('.')
            name = f'{distiller}.{name.removeprefix("loss_")}_scale'
            runner.message_hub.update_scalar(f'train/{name}', scale)
            runner.logger.debug(
                f'{name} is {scale:.6g} at epoch {runner.epoch}, iteration '
                f'{runner.iter}.'
            )
