"""Argument checks for constructors."""

import sys
from collections.abc import Sequence
from numbers import Real

from torch import nn

from kd_det.errors import UserError, nearest


def check_positive(part: object | str, name: str, value: float) -> float:
    """Return a finite number above 0, or raise a UserError."""
    if not (_is_finite(value) and value > 0):
        raise _refusal(part, name, value, 'a finite number above 0 is')
    return value


def check_not_negative(part: object | str, name: str, value: float) -> float:
    """Return a finite number of at least 0, or raise a UserError."""
    if not (_is_finite(value) and value >= 0):
        raise _refusal(part, name, value, 'a finite number, 0 or above, is')
    return value


def check_finite(part: object | str, name: str, value: float) -> float:
    """Return a finite number, or raise a UserError."""
    if not _is_finite(value):
        raise _refusal(part, name, value, 'a finite number is')
    return value


def check_count(part: object | str, name: str, value: int, least: int) -> int:
    """Return an integer of at least ``least``, or raise a UserError."""
    if not (_is_whole(value) and value >= least):
        what = f'an integer, {least} or above, is'
        raise _refusal(part, name, value, what)
    return value


def check_choice(part: object | str, name: str, value, accepted: Sequence):
    """Return one of the accepted values, or raise a UserError."""
    if value not in accepted:
        *most, last = map(repr, accepted)
        choices = ' and '.join([', '.join(most), last] if most else [last])
        names = [choice for choice in accepted if isinstance(choice, str)]
        hint = nearest(str(value), names)
        raise UserError(
            f'{_name(part)}: {name}={value!r}; accepted are '
            f'{choices}{hint or "."}'
        )
    return value


def check_scales(part: object | str, scales: Sequence[int]) -> tuple[int, ...]:
    """Return the grid sizes of regions, or raise a UserError.

    SDD uses the first region as the whole image.
    """
    good = isinstance(scales, Sequence) and all(map(_is_whole, scales))
    if not (good and [*scales][:1] == [1] and [*scales] == sorted({*scales})):
        what = 'increasing integers that start with 1, such as (1, 2, 4), are'
        raise _refusal(part, 'scales', scales, what)
    return tuple(scales)


def check_name(what: str, name: str) -> None:
    """Raise a UserError unless the name is valid for a submodule."""
    if (
        not (isinstance(name, str) and name)
        or '.' in name
        or hasattr(nn.ModuleDict(), name)
    ):
        raise UserError(
            f'{what} is named {name!r}; a word without dots is accepted, '
            "except names reserved by torch, such as 'train' and 'keys'."
        )


def _name(part: object | str) -> str:
    return part if isinstance(part, str) else type(part).__name__


def _is_whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value) -> bool:
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return (
        abs(value) <= sys.float_info.max
    )  # excludes NaN and integers that are too large


def _refusal(part: object | str, name: str, value, what: str) -> UserError:
    return UserError(f'{_name(part)}: {name}={value!r}; {what} accepted.')
