"""AutoWeight: a loss factor that is measured once during training."""

import torch
from torch import Tensor, nn

from kd_det.checks import check_count, check_positive
from kd_det.errors import UserError

STEP = 100
KEYS = ('share', 'step', 'factor')


class AutoWeight(nn.Module):
    """Factor of a loss: 1 up to a step, the value measured there afterwards.

    ``GradientShareHook`` measures it such that the gradient norm of the loss
    is ``share`` times that of the task loss. A given factor is applied at the
    same step without measuring. It is a buffer and thus saved in checkpoints.

    Args:
        share: Target gradient norm, relative to that of the task loss.
        step: Step after which the factor is applied, counted from 1.
        factor: Factor measured by an earlier run.

    Raises:
        UserError: An argument is out of range.
    """

    factor: Tensor

    def __init__(
        self, share: float, step: int = STEP, factor: float | None = None
    ) -> None:
        super().__init__()
        self.share = check_positive('auto_weight', 'share', share)
        self.step = check_count('auto_weight', 'step', step, 1)
        if factor is not None:
            check_positive('auto_weight', 'factor', factor)
        self.given = factor
        self.register_buffer('factor', torch.ones(()))
        self._known: float | None = 1.0  # on the host

    @property
    def value(self) -> float:
        """Current value of the factor."""
        if self._known is None:
            self._known = self.factor.item()
        return self._known

    def apply_factor(self, factor: float) -> None:
        """Set the factor of the loss, rounded to float32."""
        self.factor.fill_(factor)
        self._known = None

    def as_config(self) -> dict:
        """Return a config that applies the current factor."""
        return dict(share=self.share, step=self.step, factor=self.value)

    def _load_from_state_dict(self, *args) -> None:
        super()._load_from_state_dict(*args)
        self._known = None


def build_auto_weight(name: str, cfg: float | dict) -> AutoWeight:
    """Build the ``auto_weight`` of a loss from its config.

    Args:
        name: Name of the loss, for messages.
        cfg: Share, or arguments of :class:`AutoWeight`.

    Raises:
        UserError: It is neither.
    """
    arguments = cfg if isinstance(cfg, dict) else dict(share=cfg)
    unknown = [key for key in arguments if key not in KEYS]
    if unknown or 'share' not in arguments:
        raise UserError(
            f'{name} has auto_weight={cfg!r}; a gradient share such as 0.5, '
            'or dict(share=0.5, step=100) is accepted.'
        )
    try:
        return AutoWeight(**arguments)
    except UserError as error:
        raise UserError(f'{name}: {error}') from None
