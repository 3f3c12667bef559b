"""AutoWeight: the factor that a measurement puts before a loss, once."""

import torch
from torch import Tensor, nn

from kd_det.checks import check_count, check_positive
from kd_det.errors import UserError

STEP = 100
KEYS = ('share', 'step', 'factor')


class AutoWeight(nn.Module):
    """A factor of a loss: 1 until a step, what is measured there after it.

    ``GradientShareHook`` measures it, so that the norm of the loss's
    gradient is ``share`` times that of the task's. A factor that is given
    is taken at the same step without measuring. It is a buffer, so that a
    checkpoint has it.

    Args:
        share: Norm of the loss's gradient, as a multiple of the task's.
        step: After which it is applied, counted from 1.
        factor: As measured by an earlier run.

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
        self._known: float | None = 1.0  # on the host: no wait for a GPU

    @property
    def value(self) -> float:
        """The factor as it is now."""
        if self._known is None:
            self._known = self.factor.item()
        return self._known

    def apply_factor(self, factor: float) -> None:
        """Put a factor before the loss; it is rounded to float32."""
        self.factor.fill_(factor)
        self._known = None

    def as_config(self) -> dict:
        """Return the config that applies the present factor by itself."""
        return dict(share=self.share, step=self.step, factor=self.value)

    def _load_from_state_dict(self, *args) -> None:
        super()._load_from_state_dict(*args)
        self._known = None


def build_auto_weight(name: str, cfg: float | dict) -> AutoWeight:
    """Build what ``auto_weight`` of a loss's config says.

    Args:
        name: Of the loss, for messages.
        cfg: The share, or the arguments of :class:`AutoWeight`.

    Raises:
        UserError: It is neither.
    """
    arguments = cfg if isinstance(cfg, dict) else dict(share=cfg)
    unknown = [key for key in arguments if key not in KEYS]
    if unknown or 'share' not in arguments:
        raise UserError(
            f'{name} has auto_weight={cfg!r}; a share of the task, such as '
            '0.5, or dict(share=0.5, step=100) is accepted.'
        )
    try:
        return AutoWeight(**arguments)
    except UserError as error:
        raise UserError(f'{name}: {error}') from None
