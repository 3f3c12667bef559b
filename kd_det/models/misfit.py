"""Describe why the weights of a file do not fit a network."""

from torch import Tensor

from kd_det.errors import counted

COUNTER = 'num_batches_tracked'  # absent from old files, not used in eval mode


def differences(
    own: dict,
    state: dict,
    classes: tuple[str, ...] = (),
    count: int | None = None,
) -> list[str]:
    """Describe why a state dict does not fit a network.

    Args:
        own: The network's own state dict.
        state: The one to load.
        classes: Class names stored in the file, or ().
        count: Number of classes of the network's head, if known.
    """
    wrong = {
        key: (_shape(state[key]), _shape(value))
        for key, value in own.items()
        if key in state and _shape(state[key]) != _shape(value)
    }
    kinds = other_kinds(own, state)
    missing = [k for k in own if k not in state and COUNTER not in k]
    unexpected = [key for key in state if key not in own]
    problems = [
        f'{counted(len(keys), "key")} {what} ({_first(keys)})'
        for keys, what in ((missing, 'missing'), (unexpected, 'unexpected'))
        if keys
    ]
    if wrong:
        shapes = counted(len(wrong), 'shape differs', 'shapes differ')
        said = [
            f'{key} is {theirs} in the file and {ours} in the model'
            for key, (theirs, ours) in wrong.items()
        ]
        problems.append(f'{shapes} ({_first(said)})')
        if not (missing or unexpected):
            problems += _why(wrong, classes, count)
    if kinds:
        problems.append(f'{len(kinds)} dtypes differ ({_first(kinds)})')
    return problems


def other_kinds(own: dict, state: dict) -> list[str]:
    """Return which weights differ from the network's in kind of dtype.

    Args:
        own: The network's own state dict.
        state: The one to load.
    """
    return [
        f'{key} is {state[key].dtype} in the file and {value.dtype} in the '
        'model'
        for key, value in own.items()
        if COUNTER not in key
        and isinstance(state.get(key), Tensor)
        and isinstance(value, Tensor)
        and _kind(state[key]) != _kind(value)
    ]


def _why(
    wrong: dict[str, tuple], classes: tuple[str, ...], count: int | None
) -> list[str]:
    """Explain why only shapes differ, and what to do."""
    if all('pos' in key for key in wrong):
        return [
            'these are position embeddings for another image size: give the '
            'backbone the img_size that the file was trained with'
        ]
    if not all(_rows_differ(*shapes) for shapes in wrong.values()):
        return []
    if not classes:
        return [
            'if only classification layers differ, the class lists differ; '
            'write those of the file as teacher.classes'
        ]
    theirs = count and _class_count(wrong, count)
    if theirs and theirs != len(classes):
        return [
            f'the file names {len(classes)} classes, but its classification '
            f'layers have {theirs}: write the names of these as '
            'teacher.classes'
        ]
    return [
        'if only classification layers differ, the class lists differ: the '
        f'file has {len(classes)} classes'
    ]


def _rows_differ(theirs: tuple | str, ours: tuple | str) -> bool:
    """Return whether two shapes differ only in the first dimension."""
    both = theirs and ours and not isinstance(theirs, str)
    return bool(both) and theirs[1:] == ours[1:]


def _class_count(wrong: dict[str, tuple], count: int) -> int | None:
    """Return the number of classes of a file's layers, if unambiguous.

    Args:
        wrong: Key -> shape in the file and in the model.
        count: Number of classes of the model's layers.
    """
    possible = None
    for theirs, ours in wrong.values():
        # with a background in addition to the classes, or several rows per
        # class
        here = {theirs[0] - ours[0] + count, theirs[0] * count / ours[0]}
        possible = here if possible is None else possible & here
    counts = [int(n) for n in possible or () if n > 0 and n == int(n)]
    return counts[0] if len(counts) == 1 else None


def _kind(tensor: Tensor) -> tuple[bool, bool]:
    return tensor.is_floating_point(), tensor.is_complex()


def _shape(value) -> tuple[int, ...] | str:
    if isinstance(value, Tensor):
        return tuple(value.shape)
    return f'a {type(value).__name__}'


def _first(items: list[str], limit: int = 3) -> str:
    return ', '.join(items[:limit]) + (', …' if len(items) > limit else '')
