"""Load a checkpoint that matches a network exactly."""

import logging

from mmengine.logging import print_log
from mmengine.runner.checkpoint import get_state_dict
from torch import nn

from kd_det.errors import UserError, counted, few, nearest
from kd_det.models.class_count import class_count
from kd_det.models.key_mappings import KEY_MAPPINGS
from kd_det.models.misfit import COUNTER, differences
from kd_det.models.readings import (
    File,
    Reading,
    averages_left,
    choose,
    nearest_reading,
    readings,
)

PLAIN = ('', 'state_dict.')  # places that are not logged


def stored_classes(checkpoint: dict) -> tuple[str, ...]:
    """Return the class names that MMEngine stores in a checkpoint, or ()."""
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    own = meta.get('dataset_meta')
    own = own if isinstance(own, dict) else meta
    names = own.get('classes') or own.get('CLASSES') or ()
    return (names,) if isinstance(names, str) else tuple(map(str, names))


def load_exactly(
    model: nn.Module,
    checkpoint: dict,
    path: str,
    side: str = 'teacher',
    keys: str | None = None,
    entry: str | None = None,
) -> Reading:
    """Load a checkpoint whose keys and shapes match the model exactly.

    The weights may be anywhere in the file, under any prefix, in a known
    layout or in one that the network itself can convert: the entry that
    matches in all keys and shapes is found and logged. Averaged (EMA) weights
    are preferred to the current ones. A checkpoint of a distilled student
    loads as the plain network.

    Args:
        model: The network.
        checkpoint: A checkpoint dict with a ``state_dict``, or a state dict
            itself.
        path: Its path, for messages.
        side: Name of the network in messages.
        keys: Name of a key mapping, for a file from another code base.
        entry: Dotted path of the weights in the file.

    Returns:
        How the file was read.

    Raises:
        UserError: Keys are missing, unexpected or of another shape or kind, or
            a tensor has NaN or infinity. The first keys are named, and nothing
            is loaded.
    """
    if keys is not None and keys not in KEY_MAPPINGS:
        raise UserError(
            f'keys={keys!r} is not a key mapping; accepted are '
            f'{", ".join(sorted(KEY_MAPPINGS))}{nearest(keys, KEY_MAPPINGS)}'
        )
    own = get_state_dict(model)
    file = File(checkpoint)
    place = f'{entry}.' if entry else ''
    found = readings(model, own, file, keys, place)
    if not any(reading.entry.startswith(place) for reading in found):
        raise _misfit(model, own, checkpoint, path, side, keys, place)
    best = choose(found, file, path, place)
    _check_finite(own, best, path, side)
    # add the counters that old files lack, and mark the state as current, so
    # that the network does not convert it again
    counters = {key: own[key] for key in own if COUNTER in key}
    state = type(own)({**counters, **best.state})
    state._metadata = getattr(own, '_metadata', {})
    model.load_state_dict(state, strict=True)
    how = how_read(best, keys)
    if how:
        print_log(
            f'The weights of the {side}, from {path!r}, are {how}.', 'current'
        )
    for left, count in averages_left(own, file, found).items():
        print_log(
            f'Checkpoint {path!r} has averaged weights under {left[:-1]!r} '
            f'too, which lack {counted(count, "weight")} of the {side} and '
            'are not used.',
            'current',
            logging.WARNING,
        )
    return best


def how_read(reading: Reading, keys: str | None) -> str:
    """Say which entry of a file was loaded, or '' if that is obvious.

    Args:
        reading: How the file was read.
        keys: The key mapping that the user asks for, if any.
    """
    said = []
    if reading.entry not in PLAIN:
        said.append(f'those under {reading.entry.removesuffix(".")!r}')
    if reading.others:
        others = [repr(o.removesuffix('.') or '.') for o in reading.others]
        said.append(f'not those under {", ".join(others)}')
    if reading.keys and not keys:
        said.append(f'renamed with keys={reading.keys!r}')
    if reading.changed:
        said.append(f'converted by the network ({few(reading.changed, 3)})')
    return ', '.join(said)


def _misfit(
    model: nn.Module,
    own: dict,
    checkpoint: dict,
    path: str,
    side: str,
    keys: str | None,
    place: str,
) -> UserError:
    """Return the error for a file that matches in no way."""
    file = File(checkpoint, object)
    if place and not any(key.startswith(place) for key in file.tensors):
        tops = [p[:-1] for p in file.places(1) if 0 < p.count('.') < 3]
        return UserError(
            f'entry={place[:-1]!r}: checkpoint {path!r} has nothing there, '
            'but has entries under '
            f'{few(tops)}{nearest(place[:-1], tops) or "."}'
        )
    best = nearest_reading(own, file, keys, place)
    state = best and best.state
    if state is None:
        state = checkpoint.get('state_dict', checkpoint.get('model'))
        state = checkpoint if state is None else state
        if not isinstance(state, dict):
            return UserError(
                f'Checkpoint {path!r} holds a {type(state).__name__} as its '
                'state_dict; a dict of tensors is accepted.'
            )
        state = {str(key): value for key, value in state.items()}
        state = KEY_MAPPINGS[keys](state) if keys else state
    problems = differences(
        own, state, stored_classes(checkpoint), class_count(model)
    )
    how = ''
    if best and best.entry not in PLAIN:
        how = f', read under {best.entry[:-1]!r}'
    if best and best.keys and not keys:
        how += f', renamed by keys={best.keys!r}'
    return UserError(
        f'Checkpoint {path!r}{how + "," * bool(how)} does not fit the {side} '
        f'{type(model).__name__}: {"; ".join(problems)}; give the '
        'checkpoint of this config or the config of this checkpoint.'
    )


def _check_finite(own: dict, reading: Reading, path: str, side: str) -> None:
    for key, value in reading.state.items():
        # a buffer may contain infinity by design: then the model's own does
        # too
        if value.isfinite().all() or not own[key].isfinite().all():
            continue
        fix = 'use one from before training diverged'
        if reading.others:
            other = reading.others[0].removesuffix('.')
            fix += f', or use its other weights: entry={other!r}'
        raise UserError(
            f'Checkpoint {path!r} of the {side} has NaN or infinity in '
            f'{key!r}; {fix}.'
        )
