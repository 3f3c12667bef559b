"""Loss schedules: the scale of a loss as a function of progress."""

import math

from mmengine.registry import Registry

from kd_det.errors import UserError, nearest

SCHEDULES = Registry(
    'loss schedule', scope='kd_det', locations=['kd_det.engine.schedules']
)


class LossSchedule:
    """Base class: a pure function of the epochs or iterations completed.

    It has no state, so a resume needs none.

    Args:
        by_epoch: Count progress in epochs (default) or in iterations.
    """

    def __init__(self, by_epoch: bool = True) -> None:
        self.by_epoch = by_epoch

    def __call__(self, done: int) -> float:
        """Return the scale after ``done`` epochs or iterations."""
        raise NotImplementedError


@SCHEDULES.register_module()
class WarmUp(LossSchedule):
    r"""Increase linearly from 0, or from one step above 0, to 1.

    .. math:: w(e) = \min(1, e / E)

    Args:
        epochs: :math:`E`, in iterations with ``by_epoch=False``.
        origin: First value of :math:`e`. 0 gives the first epoch zero weight,
            as in ND's code; 1 is mdistiller's choice.
        by_epoch: See :class:`LossSchedule`.

    Raises:
        UserError: ``epochs`` is not above 0, or ``origin`` not 0 or 1.
    """

    def __init__(
        self, epochs: float, origin: int = 0, by_epoch: bool = True
    ) -> None:
        super().__init__(by_epoch)
        if epochs <= 0:
            raise UserError(
                f'WarmUp: epochs={epochs!r}; a number above 0 is accepted; '
                'leave WarmUp out for no warm-up.'
            )
        if origin not in (0, 1):
            raise UserError(f'WarmUp: origin={origin!r}; accepted are 0 or 1.')
        self.epochs = epochs
        self.origin = origin

    def __call__(self, done: int) -> float:
        """Return the scale; see :class:`LossSchedule`."""
        return min(1.0, (done + self.origin) / self.epochs)


class _Decay(LossSchedule):
    def __init__(
        self,
        begin: int,
        end: int,
        final: float = 0.0,
        by_epoch: bool = True,
    ) -> None:
        super().__init__(by_epoch)
        if not begin < end:
            raise UserError(
                f'{type(self).__name__}: begin={begin!r}, end={end!r}; begin '
                'must come before end.'
            )
        self.begin, self.end, self.final = begin, end, final

    def _fraction(self, done: int) -> float:
        passed = (done - self.begin) / (self.end - self.begin)
        return min(1.0, max(0.0, passed))


@SCHEDULES.register_module()
class LinearDecay(_Decay):
    r"""Decay linearly from 1 to ``final``.

    .. math:: w(e) = 1 - (1 - f) x, \quad
        x = \frac{e - b}{E - b} \text{ within } [0, 1]

    Args:
        begin: :math:`b`, epochs completed when the decay begins.
        end: :math:`E`, epochs completed when it reaches ``final``.
        final: :math:`f`.
        by_epoch: See :class:`LossSchedule`.

    Raises:
        UserError: ``begin`` does not come before ``end``.
    """

    def __call__(self, done: int) -> float:
        """Return the scale; see :class:`LossSchedule`."""
        return 1.0 - (1.0 - self.final) * self._fraction(done)


@SCHEDULES.register_module()
class CosineDecay(_Decay):
    r"""Decay from 1 to ``final`` along half a cosine.

    .. math:: w(e) = f + (1 - f) \frac{1 + \cos \pi x}{2}, \quad
        x = \frac{e - b}{E - b} \text{ within } [0, 1]

    Args:
        begin: :math:`b`, epochs completed when the decay begins.
        end: :math:`E`, epochs completed when it reaches ``final``.
        final: :math:`f`.
        by_epoch: See :class:`LossSchedule`.

    Raises:
        UserError: ``begin`` does not come before ``end``.
    """

    def __call__(self, done: int) -> float:
        """Return the scale; see :class:`LossSchedule`."""
        wave = (1.0 + math.cos(math.pi * self._fraction(done))) / 2
        return self.final + (1.0 - self.final) * wave


@SCHEDULES.register_module()
class Stop(LossSchedule):
    """Set the weight to 0 from some epoch on.

    Args:
        begin: Epochs completed when the weight becomes 0.
        by_epoch: See :class:`LossSchedule`.
    """

    def __init__(self, begin: int, by_epoch: bool = True) -> None:
        super().__init__(by_epoch)
        self.begin = begin

    def __call__(self, done: int) -> float:
        """Return the scale; see :class:`LossSchedule`."""
        return 0.0 if done >= self.begin else 1.0


def build_schedule(cfg: dict) -> LossSchedule:
    """Build a schedule from its config.

    Raises:
        UserError: The schedule type is unknown.
    """
    arguments = dict(cfg)
    kind = arguments.pop('type', None)
    schedule = kind and SCHEDULES.get(kind)
    if schedule is None:
        known = sorted(SCHEDULES.module_dict)
        raise UserError(
            f'A loss schedule is of unknown type {kind!r}; accepted are '
            f'{", ".join(known)}{nearest(str(kind), known)}'
        )
    return schedule(**arguments)
