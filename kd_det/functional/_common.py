"""What every function of this package does before and around its formula."""

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
# A vector this short has no direction worth teaching: it counts as zero, so
# that no gradient exceeds its reciprocal.
ZERO_NORM = 1e-6
# Arguments that need not be floating: labels, which are checked apart, and
# embeddings, whose means and ranks are taken in float64.
ANY_DTYPE = ('labels', 'embeddings')


def float32_math(function: Callable[P, R]) -> Callable[P, R]:
    """Run ``function`` on float32 copies of half inputs, with autocast off.

    Lists and tuples are looked into and arrive as lists. Tensors of another
    dtype pass as they are; the graph to a half input is kept.
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
    """Return the sum of one tensor or more."""
    return functools.reduce(operator.add, values)


def check_shapes(**named: tuple[Tensor, str]) -> None:
    """Check named tensors against layouts that share their letters.

    ``check_shapes(logits=(logits, 'N K'), labels=(labels, 'N'))`` asks for a
    2-d and a 1-d tensor of one length. A letter is bound by the first tensor
    that has it, so the tensor that rules comes first. All but those named in
    ``ANY_DTYPE`` must be floating: a loss of integers would be an integer.

    Raises:
        TypeError: If a value is no tensor.
        ValueError: If a tensor has another number of axes, or an axis whose
            length differs from the one bound to its letter, or is of
            integers or complex.
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
    """Raise a ValueError if a tensor is complex, or integer where it counts.

    Args:
        name: One of ``ANY_DTYPE`` may be integer.
        tensor: The argument.
    """
    if tensor.is_complex() or not (
        name in ANY_DTYPE or tensor.is_floating_point()
    ):
        raise ValueError(
            f'{name} must have a floating dtype, got {tensor.dtype}; convert '
            f'it, for instance {name}.float().'
        )


def check_labels(labels: Tensor, num_classes: int) -> Tensor:
    """Return the labels as int64 after a check of dtype and range.

    Raises:
        ValueError: If the dtype is no integer, or, on the CPU, if a label
            lies outside ``[0, num_classes)``. On an accelerator the range is
            asserted on the device, without waiting for it.
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
    """Raise unless two sets of logits have one shape, and tau is positive."""
    check_shapes(
        student_logits=(student, 'N K'), teacher_logits=(teacher, 'N K')
    )
    check_positive('tau', tau)


def check_labelled_logits(
    student: Tensor, teacher: Tensor, labels: Tensor, tau: float
) -> Tensor:
    """Return the labels as int64 after :func:`check_logits` and theirs."""
    check_logits(student, teacher, tau)
    check_shapes(student_logits=(student, 'N K'), labels=(labels, 'N'))
    return check_labels(labels, student.shape[1])


def holds(condition: Tensor, message: str) -> bool:
    """Return whether a condition holds in every entry.

    On an accelerator it is asserted on the device, without waiting for it,
    and the answer is always True.

    Args:
        condition: Boolean, of any shape.
        message: Of the device's assertion.
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
    """Raise unless ``value`` is a finite number above 0."""
    if not isinstance(value, numbers.Real):
        raise TypeError(
            f'{name} must be a number above 0, got {type(value).__name__}.'
        )
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f'{name} must be above 0 and finite, got {value}.')


def check_finite(**named: float | Tensor) -> None:
    """Raise unless each is a finite number, or a tensor of one number.

    A tensor is not looked into: it may be on an accelerator.
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
    """Return an integer of at least 1, else raise."""
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
    """Write at most ``limit`` items and say how many there are."""
    text = ', '.join(str(item) for item in items[:limit])
    more = len(items) - limit
    return f'{text} and {more} more' if more > 0 else text


def safe_norm(
    x: Tensor, dim: int | tuple[int, ...] = -1, keepdim: bool = False
) -> Tensor:
    """Return the L2 norm; at a zero vector its gradient is 0."""
    # The backward of vector_norm takes the zero subgradient at 0, which
    # x.pow(2).sum().sqrt() does not.
    return torch.linalg.vector_norm(x, dim=dim, keepdim=keepdim)


def safe_normalize(x: Tensor, dim: int | tuple[int, ...] = -1) -> Tensor:
    """Return ``x / |x|``; a vector of norm <= 1e-6 becomes 0, gradient 0."""
    norm = safe_norm(x, dim, keepdim=True)
    zero = norm <= ZERO_NORM  # False for NaN, which must stay visible
    # Filled twice: the inner one keeps 0/0 out of the backward pass.
    return (x / norm.masked_fill(zero, 1)).masked_fill(zero, 0)
