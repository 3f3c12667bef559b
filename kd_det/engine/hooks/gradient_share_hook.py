"""GradientShareHook: the gradient share of each distillation loss."""

import math
from collections.abc import Sequence

from mmengine.hooks import Hook
from torch import nn

from kd_det.checks import check_positive
from kd_det.errors import UserError
from kd_det.losses import DistillLoss
from kd_det.models import DistillModel, MutualModel
from kd_det.models.unwrap import unwrap
from kd_det.precompute.gradient_shares import (
    GradientShare,
    loss_scale_of,
    step_shares,
)
from kd_det.registry import HOOKS

NOTHING = 1e-6  # share of rounding errors


@HOOKS.register_module()
class GradientShareHook(Hook):
    r"""Compare the gradient of each distillation loss with the task's.

    At a few steps, over the weights that both depend on, it logs
    ``<distiller>.<loss>_grad_norm``; ``_grad_share``, that norm divided by the
    norm of the task's gradient; and ``_grad_cosine``, the cosine of the two,
    where the loss is named without its ``loss_`` prefix. It uses the step's
    own forward pass and does not change the step. After the last measured step
    it warns once about losses whose share is above ``limit``, and gives the
    ``loss_weight`` that would make it ``target``; and about losses that had no
    gradient in any of several measured steps.

    It also rescales a loss that has ``auto_weight``, after the step set there:
    by :math:`\text{share wanted} / \text{share found}`, at the full weight of
    a schedule. The factor is stored in the checkpoint and in the config in the
    work directory; a run of that config does not measure it again.

    Args:
        steps: Steps at which to measure, counted from 1.
        target: Share at which the suggested weight aims.
        limit: Share above which it warns.

    Raises:
        UserError: An argument is out of range; or a loss with
            ``auto_weight`` cannot be rescaled.

    Example:
        >>> custom_hooks = [dict(type='kd_det.GradientShareHook')]
    """

    priority = 'NORMAL'  # before a checkpoint is written

    def __init__(
        self,
        steps: Sequence[int] = (1, 20, 200),
        target: float = 0.5,
        limit: float = 2.0,
    ) -> None:
        good = isinstance(steps, (list, tuple)) and steps
        if not good or any(type(s) is not int or s < 1 for s in steps):
            raise UserError(
                f'GradientShareHook: steps={steps!r}; a list of integers, 1 '
                'or above, is accepted, such as (1, 20, 200).'
            )
        self.steps = {*steps}
        self.target = check_positive(self, 'target', target)
        self.limit = check_positive(self, 'limit', limit)
        self._handle = None
        self._last: tuple[int, dict] | None = None  # step, shares measured
        self._warned = False
        self._seen: dict[str, list[float]] = {}  # shares measured
        self._auto: dict[str, DistillLoss] = {}

    def before_train(self, runner) -> None:
        """Find the losses; a resume keeps the factors found before it."""
        model = unwrap(runner.model)
        if isinstance(model, MutualModel):
            for key in _with_auto_weight(model):
                raise UserError(
                    f'{key} has auto_weight, which is not supported for '
                    'peers, since each would need its own weight; write '
                    'loss_weight.'
                )
        elif not (isinstance(model, DistillModel) and model.distill):
            runner.logger.info(
                'GradientShareHook measures nothing: the model has no '
                'distillation losses.'
            )
            self.steps = set()
            return
        else:
            self._auto = _with_auto_weight(model)
        for key, loss in self._auto.items():
            step = loss.auto_weight.step
            if step > runner.max_iters:
                raise UserError(
                    f'{key} has auto_weight at step {step}, and the run has '
                    f'{runner.max_iters} steps; write auto_weight=dict('
                    f'share={loss.auto_weight.share}, step=…).'
                )
            if runner.iter < step:
                loss.auto_weight.apply_factor(1.0)  # also after load_from
            else:
                self._record(runner, key, loss)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Hook into the forward pass of a measured step."""
        step = runner.iter + 1
        measured = self.steps | {
            loss.auto_weight.step
            for loss in self._auto.values()
            if loss.auto_weight.given is None
        }
        if step not in measured:
            return
        self._found = {}

        def look(model, args, kwargs, output):
            peer = kwargs.get('peer')
            shares = step_shares(model, output, peer, loss_scale_of(runner))
            before = f'{peer}.' if peer else ''
            losses = model.learner(peer)[1]
            self._found |= {
                f'{before}{key}': (losses[key], found)
                for key, found in shares.items()
            }

        self._handle = unwrap(runner.model).register_forward_hook(
            look, with_kwargs=True
        )

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        """Log the shares, rescale losses with ``auto_weight``, then warn."""
        step = runner.iter + 1
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
            self._log(runner, step)
        for key, loss in self._auto.items():
            if loss.auto_weight.step == step:
                self._rescale(runner, key, loss)
        if step == max(self.steps, default=0):
            self._warn(runner)

    def after_train(self, runner) -> None:
        """Warn if the run ended before the last measured step."""
        self._warn(runner)

    def _log(self, runner, step: int) -> None:
        found = {
            key: (loss, share)
            for key, (loss, share) in self._found.items()
            if math.isfinite(share.share) and math.isfinite(share.cosine)
        }
        logged = {}
        for key, (loss, share) in found.items():
            if loss.config_weight * loss.factor * loss.scale:
                self._seen.setdefault(key, []).append(share.share)
            name = '.'.join(
                part.removeprefix('loss_') for part in key.split('.')
            )
            values = dict(
                norm=share.norm, share=share.share, cosine=share.cosine
            )
            logged |= {f'{name}_grad_{k}': v for k, v in values.items()}
        for name, value in logged.items():
            runner.message_hub.update_scalar(f'train/{name}', value)
        if found:
            # logged at the measured step: the logger has its own interval
            runner.visualizer.add_scalars(logged, step=step)
            listed = '; '.join(
                f'{key} {share.share:.3g} (cosine {share.cosine:.2f})'
                for key, (_, share) in found.items()
            )
            runner.logger.info(
                f"Gradients as multiples of the task's at step {step}: "
                f'{listed}'
            )
        self._last = step, found

    def _rescale(self, runner, key: str, loss: DistillLoss) -> None:
        auto = loss.auto_weight
        if auto.given is not None:
            auto.apply_factor(auto.given)
        else:
            auto.apply_factor(
                auto.share / self._unscaled_share(key, loss, auto.step)
            )
        weight = loss.config_weight * auto.value
        runner.logger.info(
            f'{key} is multiplied by {auto.value:.4g} from step '
            f'{auto.step + 1} on (auto_weight={auto.share:g}), so its '
            f'effective loss_weight is {weight:.4g}.'
        )
        self._record(runner, key, loss)

    def _unscaled_share(self, key: str, loss: DistillLoss, step: int) -> float:
        """Return the share at the full weight of a schedule."""
        what = f'auto_weight of {key} cannot be computed at step {step}'
        other = 'choose another step: auto_weight=dict(share=…, step=…)'
        if loss.scale == 0:
            raise UserError(
                f'{what}, since its schedule gives the loss zero weight '
                f'there; {other}.'
            )
        if key not in self._found:
            raise UserError(
                f'{what}, since it shares no weight of the student with the '
                'task; write loss_weight instead.'
            )
        share = self._found[key][1]
        for name, norm in (('its', share.norm), ("the task's", share.task)):
            if norm == 0 or not math.isfinite(norm):
                raise UserError(
                    f'{what}, since the norm of {name} gradient is {norm}; '
                    f'{other}, or write loss_weight instead.'
                )
        return share.share / loss.scale

    def _record(self, runner, key: str, loss: DistillLoss) -> None:
        """Write the factor into the config in the work directory."""
        distiller, _, name = key.partition('.')
        losses = runner.cfg.model.distillers[distiller].losses
        losses[name].auto_weight = loss.auto_weight.as_config()
        runner.dump_config()

    def _warn(self, runner) -> None:
        """Warn once about the last shares measured."""
        if self._warned or self._last is None:
            return
        self._warned = True
        step, found = self._last
        idle = [
            key
            for key, shares in self._seen.items()
            if len(shares) > 1 and max(shares) < NOTHING
        ]
        if idle:
            runner.logger.warning(
                f'In each measured step the gradient of {" and ".join(idle)} '
                'was 0, so that nothing is learnt from it; check what it '
                'compares. Relations, as of RKD, need three samples or more '
                'in a batch.'
            )
        large = [
            _advice(key, loss, share, self.target)
            for key, (loss, share) in found.items()
            if share.share > self.limit
        ]
        if large:
            runner.logger.warning(
                f'At step {step} {"; ".join(large)}. If the student scores '
                'below one without a teacher, use these weights, or run '
                '`kd_det calibrate`.'
            )


def _advice(
    key: str, loss: DistillLoss, share: GradientShare, target: float
) -> str:
    weight = loss.config_weight * loss.factor * loss.scale
    return (
        f"the gradient of {key} is {share.share:.3g} times the task's; "
        f'loss_weight={weight * target / share.share:.3g} would make it '
        f'{target:g} times'
    )


def _with_auto_weight(model: nn.Module) -> dict[str, DistillLoss]:
    return {
        f'{name}.{key}': loss
        for name, distiller in getattr(model, 'distill', {}).items()
        for key, loss in getattr(distiller, 'losses', {}).items()
        if getattr(loss, 'auto_weight', None) is not None
    }


def check_auto_weights(runner) -> None:
    """Raise if no hook would rescale a loss that has ``auto_weight``.

    Args:
        runner: Before training.

    Raises:
        UserError: The run has no :class:`GradientShareHook`.
    """
    if any(isinstance(hook, GradientShareHook) for hook in runner.hooks):
        return
    for key in _with_auto_weight(unwrap(runner.model)):
        raise UserError(
            f'{key} has auto_weight, but no hook measures it; add '
            "dict(type='kd_det.GradientShareHook') to custom_hooks."
        )
