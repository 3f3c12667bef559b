"""Input checks and numerical helpers shared by the functions."""

import difflib
import functools
import math
import numbers
import operator
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec('P')
R = TypeVar('R')

HALF = (torch.float16, torch.bfloat16)
# Vectors with a smaller norm are treated as zero, which bounds the gradient by
# the reciprocal of this value.
ZERO_NORM = 1e-6
# Arguments that may have any dtype: labels, which are checked separately, and
# embeddings, which are converted to float64.
ANY_DTYPE = ('labels', 'embeddings')


def float32_math(function: Callable[P, R]) -> Callable[P, R]:
    """Run ``function`` in float32 for half inputs, without autocast.

    Lists and tuples of tensors are converted as well and become lists. Tensors
    of other dtypes are unchanged; gradients flow back to the half-precision
    input.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        full = [_to_float32(value) for value in args]
        named = {name: _to_float32(value) for name, value in kwargs.items()}
        with _autocast_off([*full, *named.values()]):
            return function(*full, **named)

    return wrapped


def _to_float32(value):
    if isinstance(value, Tensor):
        return value.float() if value.dtype in HALF else value
    if isinstance(value, (list, tuple)):
        return [_to_float32(item) for item in value]
    return value


def _autocast_off(values: Sequence):
    for value in values:
        if isinstance(value, (list, tuple)) and value:
            value = value[0]
        if isinstance(value, Tensor):
            device_type = value.device.type
            if torch.amp.is_autocast_available(device_type):
                return torch.autocast(device_type, enabled=False)
            break
    return nullcontext()


def total(values: Iterable[Tensor]) -> Tensor:
    """Return the sum of one or more tensors."""
    return functools.reduce(operator.add, values)


def check_shapes(**named: tuple[Tensor, str]) -> None:
    """Check the shapes of named tensors against layouts with shared letters.

    ``check_shapes(logits=(logits, 'N K'), labels=(labels, 'N'))`` requires a
    2-d and a 1-d tensor with the same N. The first tensor with a letter
    determines its size, so list the reference tensor first. All tensors except
    those in ``ANY_DTYPE`` must have a floating dtype.

    Raises:
        TypeError: If a value is not a tensor.
        ValueError: If the number of axes, the size of an axis or the dtype is
            wrong.
    """
    bound: dict[str, tuple[int, str]] = {}
    for name, (tensor, layout) in named.items():
        letters = layout.split()
        wanted = f'({", ".join(letters)})'
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f'{name} must be a torch.Tensor of shape {wanted}, got '
                f'{type(tensor).__name__}.'
            )
        shape = tuple(tensor.shape)
        if len(shape) != len(letters):
            raise ValueError(
                f'{name} must have shape {wanted}, got {shape}; reshape or '
                'index it first.'
            )
        for letter, size in zip(letters, shape, strict=True):
            first_size, first_name = bound.setdefault(letter, (size, name))
            if size != first_size:
                raise ValueError(
                    f'{name} of shape {shape} has {letter} = {size}, but '
                    f'{first_name} has {letter} = {first_size}; make them '
                    'agree.'
                )
        check_floating(name, tensor)


def check_floating(name: str, tensor: Tensor) -> None:
    """Raise a ValueError unless a tensor has an accepted dtype.

    Args:
        name: Name of the argument; those in ``ANY_DTYPE`` may be integer.
        tensor: Value of the argument.
    """
    if tensor.is_complex() or not (
        name in ANY_DTYPE or tensor.is_floating_point()
    ):
        raise ValueError(
            f'{name} must have a floating dtype, got {tensor.dtype}; convert '
            f'it, for instance {name}.float().'
        )


def check_mask(mask: Tensor | None, maps: Tensor) -> None:
    """Raise unless a mask of positions is None or fits the maps.

    Args:
        mask: Boolean (N, 1, H, W).
        maps: Feature maps (N, C, H, W), for the sizes.
    """
    if mask is None:
        return
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        found = getattr(mask, 'dtype', type(mask).__name__)
        raise TypeError(f'mask must be a tensor of booleans, got {found}.')
    size = len(maps), 1, *maps.shape[2:]
    if mask.shape != size:
        raise ValueError(
            f'mask must have shape {size}, one value per position, got '
            f'{tuple(mask.shape)}.'
        )


def check_labels(labels: Tensor, num_classes: int) -> Tensor:
    """Check dtype and range of the labels and return them as int64.

    Raises:
        ValueError: If the dtype is not integer, or, on the CPU, if a label is
            outside ``[0, num_classes)``. On an accelerator the range is
            checked by a device-side assertion, without synchronisation.
    """
    if labels.dtype == torch.bool or labels.is_floating_point():
        raise ValueError(
            f'labels must have an integer dtype, got {labels.dtype}; give '
            'class indices, for instance labels.long().'
        )
    labels = labels.long()
    inside = (labels >= 0) & (labels < num_classes)
    message = f'labels must lie in [0, {num_classes})'
    if not holds(inside, message):
        wrong = labels[~inside].unique().tolist()
        raise ValueError(
            f'{message}, got {shorten(wrong)}; drop those rows or raise the '
            'number of classes.'
        )
    return labels


def check_logits(student: Tensor, teacher: Tensor, tau: float) -> None:
    """Raise unless both logits have the same shape and tau is positive."""
    check_shapes(
        student_logits=(student, 'N K'), teacher_logits=(teacher, 'N K')
    )
    check_positive('tau', tau)


def check_labelled_logits(
    student: Tensor, teacher: Tensor, labels: Tensor, tau: float
) -> Tensor:
    """Check logits, temperature and labels; return the labels as int64."""
    check_logits(student, teacher, tau)
    check_shapes(student_logits=(student, 'N K'), labels=(labels, 'N'))
    return check_labels(labels, student.shape[1])


def holds(condition: Tensor, message: str) -> bool:
    """Return whether a condition holds for all entries.

    On an accelerator this is a device-side assertion without synchronisation,
    and the return value is always True.

    Args:
        condition: Boolean tensor of any shape.
        message: Message of the device-side assertion.
    """
    if condition.device.type == 'cpu':
        return bool(condition.all())
    torch._assert_async(condition.all(), message)
    return True


def check_choice(name: str, value, accepted: Sequence) -> None:
    """Raise a ValueError unless ``value`` is one of ``accepted``."""
    if value in accepted:
        return
    choices = {str(choice).lower(): choice for choice in accepted}
    near = difflib.get_close_matches(str(value).lower(), choices, n=1)
    hint = f'; did you mean {choices[near[0]]!r}?' if near else '.'
    raise ValueError(
        f'{name} must be one of {", ".join(map(repr, accepted))}, got '
        f'{value!r}{hint}'
    )


def check_positive(name: str, value: float) -> None:
    """Raise an error unless ``value`` is finite and above 0."""
    if not isinstance(value, numbers.Real):
        raise TypeError(
            f'{name} must be a number above 0, got {type(value).__name__}.'
        )
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f'{name} must be above 0 and finite, got {value}.')


def check_finite(**named: float | Tensor) -> None:
    """Raise an error unless each value is a finite number or a scalar tensor.

    The values of tensors are not checked, to avoid synchronisation.
    """
    for name, value in named.items():
        if isinstance(value, Tensor) and value.ndim == 0:
            continue
        if not isinstance(value, numbers.Real):
            raise TypeError(
                f'{name} must be a finite number, got {value!r} of type '
                f'{type(value).__name__}.'
            )
        if not math.isfinite(value):
            raise ValueError(f'{name} must be a finite number, got {value}.')


def check_count(name: str, value: int) -> int:
    """Return ``value`` as an integer, or raise if it is below 1."""
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(
            f'{name} must be an integer of at least 1, got {value!r} of type '
            f'{type(value).__name__}.'
        ) from None
    if count < 1:
        raise ValueError(f'{name} must be at least 1, got {count}.')
    return count


def shorten(items: Sequence, limit: int = 8) -> str:
    """Join at most ``limit`` items and mention how many more there are."""
    text = ', '.join(str(item) for item in items[:limit])
    more = len(items) - limit
    return f'{text} and {more} more' if more > 0 else text


def safe_norm(
    x: Tensor, dim: int | tuple[int, ...] = -1, keepdim: bool = False
) -> Tensor:
    """Return the L2 norm, with gradient 0 for zero vectors."""
    # The backward of vector_norm takes the zero subgradient at 0, which
    # x.pow(2).sum().sqrt() does not.
    return torch.linalg.vector_norm(x, dim=dim, keepdim=keepdim)


def safe_normalize(x: Tensor, dim: int | tuple[int, ...] = -1) -> Tensor:
    """Return ``x / |x|``, or 0 without gradient for norms <= 1e-6."""
    norm = safe_norm(x, dim, keepdim=True)
    zero = norm <= ZERO_NORM  # False for NaN, which is propagated
    # Masked twice: the inner mask avoids 0/0 in the backward pass.
    return (x / norm.masked_fill(zero, 1)).masked_fill(zero, 0)
