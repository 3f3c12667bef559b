"""GradientShareHook: how hard each distillation loss pulls at the student."""

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


@HOOKS.register_module()
class GradientShareHook(Hook):
    r"""Compare the gradient of each distillation loss with the task's.

    At a few steps, at the weights that both reach, it logs
    ``<distiller>.<loss>_grad_norm``; ``_grad_share``, that norm over the
    norm of the task's gradient; and ``_grad_cosine`` of the angle between
    the two, with the loss named without its ``loss_``. It uses the step's
    own forward pass, and leaves the step as it would be. After the last of
    the steps it warns once of losses whose share is above ``limit``, with
    the ``loss_weight`` that would make it ``target``.

    It also rescales a loss that has ``auto_weight``, after that one's own
    step: by :math:`\text{share wanted} / \text{share found}`, at the full
    weight of a schedule. The factor is kept in the checkpoint and written
    into the work dir's config, a run of which measures nothing.

    Args:
        steps: At which to measure, counted from 1.
        target: Share that the warning aims at.
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
        self._last: tuple[int, dict] | None = None  # step, what was found
        self._warned = False
        self._auto: dict[str, DistillLoss] = {}

    def before_train(self, runner) -> None:
        """Find the losses; those rescaled before a resume stay so."""
        model = unwrap(runner.model)
        if isinstance(model, MutualModel):
            for key in _with_auto_weight(model):
                raise UserError(
                    f'{key} has auto_weight, which peers cannot have: each '
                    'would need a weight of its own; write loss_weight.'
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
        """Look into the forward pass of a step that is measured."""
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
        """Log what was found, rescale what shall be, warn at the end."""
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
        """Warn in a run that was shorter."""
        self._warn(runner)

    def _log(self, runner, step: int) -> None:
        found = {
            key: (loss, share)
            for key, (loss, share) in self._found.items()
            if math.isfinite(share.share) and math.isfinite(share.cosine)
        }
        logged = {}
        for key, (_, share) in found.items():
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
            # at their own step: the logger has its steps
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
            f'{auto.step + 1} on (auto_weight={auto.share:g}): its '
            f'loss_weight is {weight:.4g} in effect.'
        )
        self._record(runner, key, loss)

    def _unscaled_share(self, key: str, loss: DistillLoss, step: int) -> float:
        """Return the share at the full weight of a schedule."""
        what = f'auto_weight of {key} cannot be found at step {step}'
        other = 'choose another step: auto_weight=dict(share=…, step=…)'
        if loss.scale == 0:
            raise UserError(
                f'{what}, since its schedule gives the loss no weight '
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
        """Write the factor into the work dir's config."""
        distiller, _, name = key.partition('.')
        losses = runner.cfg.model.distillers[distiller].losses
        losses[name].auto_weight = loss.auto_weight.as_config()
        runner.dump_config()

    def _warn(self, runner) -> None:
        """Warn of what was found last, once."""
        if self._warned or self._last is None:
            return
        self._warned = True
        step, found = self._last
        large = [
            _advice(key, loss, share, self.target)
            for key, (loss, share) in found.items()
            if share.share > self.limit
        ]
        if large:
            runner.logger.warning(
                f'At step {step} {"; ".join(large)}. If the student falls '
                'behind one without a teacher, take these weights, or '
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
    """Stop if nothing would rescale a loss that has ``auto_weight``.

    Args:
        runner: Before training.

    Raises:
        UserError: There is no :class:`GradientShareHook`.
    """
    if any(isinstance(hook, GradientShareHook) for hook in runner.hooks):
        return
    for key in _with_auto_weight(unwrap(runner.model)):
        raise UserError(
            f'{key} has auto_weight, which nothing would measure; add '
            "dict(type='kd_det.GradientShareHook') to custom_hooks."
        )
