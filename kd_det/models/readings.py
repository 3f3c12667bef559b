"""Find the place and key layout of a network's weights in a file."""

import copy
import re
from collections import Counter, OrderedDict
from typing import NamedTuple

from torch import Tensor, nn

from kd_det.errors import UserError
from kd_det.models.key_mappings import (
    FOUND_BY_ITSELF,
    KEY_MAPPINGS,
    OF_PAIRS,
)
from kd_det.models.misfit import COUNTER, differences, other_kinds

DEPTH = 6  # levels of nested dicts; no known code base uses more
AVERAGED = re.compile(r'(?:^|[._])(?:ema|swa|averaged)(?:[._]|$)')
# MMEngine's EMAHook stores the current weights and its step count here, and
# the averaged weights in their place
RUNNING = 'ema_state_dict.'
# torch.compile puts this before the names inside a compiled module
COMPILED = re.compile(r'(?<=\.)_orig_mod\.')


class Reading(NamedTuple):
    """One way to read a file as the weights of a network.

    Attributes:
        entry: Dotted path of the weights in the file, '' for the top level.
        keys: Name of the key mapping, or None.
        state: The weights under the network's own names.
        others: Other places with weights of this network.
        changed: Descriptions of what the network itself converted.
    """

    entry: str
    keys: str | None
    state: dict[str, Tensor]
    others: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


class File:
    """The tensors of a checkpoint by dotted path.

    Args:
        checkpoint: Nested dicts with tensors.
        kind: Type of the values to collect; default: Tensor.
    """

    def __init__(self, checkpoint: dict, kind: type = Tensor) -> None:
        self.kind = kind
        self.tensors: dict[str, Tensor] = {}
        self.versions: dict[str, dict] = {}  # of the modules that wrote them
        self._walk(checkpoint, '', DEPTH)

    def _walk(self, node: dict, place: str, depth: int) -> None:
        for module, version in getattr(node, '_metadata', {}).items():
            self.versions[f'{place}{module}.' if module else place] = version
        for key, value in node.items():
            if isinstance(value, dict) and depth:
                self._walk(value, f'{place}{key}.', depth - 1)
            elif isinstance(value, self.kind):
                self.tensors[f'{place}{key}'] = value

    def places(self, least: int) -> list[str]:
        """Return the path prefixes that enough tensors share.

        Args:
            least: Minimum number of tensors.
        """
        count = Counter({'': len(self.tensors)})
        for key in self.tensors:
            count.update(key[: dot.end()] for dot in re.finditer(r'\.', key))
        return [place for place, number in count.items() if number >= least]

    def under(self, place: str) -> 'OrderedDict[str, Tensor]':
        """Return the tensors at a place, without those of distillers."""
        state = OrderedDict(
            (COMPILED.sub('', key[len(place) :]), value)
            for key, value in self.tensors.items()
            if key.startswith(place)
            and not key[len(place) :].startswith('distill.')
        )
        state._metadata = {
            module[len(place) :].removesuffix('.'): version
            for module, version in self.versions.items()
            if module.startswith(place)
        }
        return state


def readings(
    model: nn.Module, own: dict, file: File, keys: str | None, entry: str
) -> list[Reading]:
    """Return the ways to read a file that match a network exactly.

    Without ``keys`` the network's own names are tried first, then the known
    layouts. A network that can convert older files itself does so, on a copy.

    Args:
        model: The network; not changed.
        own: Its state dict.
        file: The file.
        keys: Name of a key mapping, or None.
        entry: Path prefix that one of them must have, '' for any.
    """
    places = file.places(len(own) // 2)
    for name in [keys] if keys else [None, *FOUND_BY_ITSELF]:
        found = [
            reading
            for place in places
            if (reading := _read(model, own, file, place, name))
        ]
        if any(reading.entry.startswith(entry) for reading in found):
            break
    # a mapping that matches a place also matches places inside it
    return [
        one
        for one in found
        if not any(_is_within(one.entry, other.entry) for other in found)
    ]


def _is_within(place: str, other: str) -> bool:
    return place != other and place.startswith(other)


def _read(
    model: nn.Module, own: dict, file: File, place: str, keys: str | None
) -> Reading | None:
    state = _renamed(file.under(place), keys)
    if state is None:
        return None
    if not differences(own, state):
        return Reading(place, keys, state)
    known = sum(key in own for key in state)
    if known < len(own) // 2 or other_kinds(own, state):
        return None
    loaded = _loaded_by_itself(model, state)
    return loaded and Reading(place, keys, *loaded)


def _renamed(state: dict, keys: str | None) -> dict | None:
    """Return a state dict with mapped keys, or None if it does not match."""
    if not keys:
        return state
    try:
        renamed = KEY_MAPPINGS[keys](state)
    except UserError:
        return None
    # a single network is not a pair
    return None if keys in OF_PAIRS and {*renamed} == {*state} else renamed


def _loaded_by_itself(
    model: nn.Module, state: dict
) -> tuple[dict, tuple, tuple[str, ...]] | None:
    """Return a state dict as converted by the network itself, or None."""
    scratch = copy.deepcopy(model)
    try:
        scratch.load_state_dict(state, strict=True)
    except (
        Exception
    ):  # any error that its conversion raises for an unknown file
        return None
    made = scratch.state_dict()
    renamed = [k for k in made if k not in state and COUNTER not in k]
    resized = [
        f'{key} of {tuple(state[key].shape)} as {tuple(value.shape)}'
        for key, value in made.items()
        if key in state and state[key].shape != value.shape
    ]
    return made, (), (*resized, *renamed)


def nearest_reading(
    own: dict, file: File, keys: str | None, entry: str
) -> Reading | None:
    """Return the reading of a file closest to a network's weights, or None.

    Args:
        own: The network's state dict.
        file: The file.
        keys: Name of a key mapping, or None.
        entry: Only the places within this one, '' for all.
    """
    best, most = None, 0
    for place in file.places(max(1, len(own) // 4)):
        if not place.startswith(entry):
            continue
        for name in [keys] if keys else [None, *FOUND_BY_ITSELF]:
            state = _renamed(file.under(place), name) or {}
            known = sum(key in own for key in state)
            if known > most:
                best, most = Reading(place, name, state), known
    return best


def averages_left(
    own: dict, file: File, found: list[Reading]
) -> dict[str, int]:
    """Return places of averaged weights that are not all of a network's.

    Args:
        own: The network's state dict.
        file: The file.
        found: How it can be read.

    Returns:
        Place -> number of weights that it lacks.
    """
    known = [reading.entry for reading in found]
    if f'{RUNNING}steps' in file.tensors:
        known.append(RUNNING)
    missing = {}
    for place in filter(AVERAGED.search, file.places(len(own) // 2)):
        state = file.under(place)
        absent = [k for k in own if k not in state and COUNTER not in k]
        missing[place] = len(absent)
    left = {}
    for place in sorted(missing, key=missing.get):
        others = (*known, *left)
        if not any(place.startswith(o) or o.startswith(place) for o in others):
            left[place] = missing[place]
    return left


def choose(found: list[Reading], file: File, path: str, entry: str) -> Reading:
    """Return the reading to use; averaged weights are preferred.

    Args:
        found: Readings of one file.
        file: The file.
        path: Its path, for the message.
        entry: Only the places within this one, '' for all.

    Raises:
        UserError: There are several, and no clear choice.
    """
    good = [r for r in found if r.entry.startswith(entry)]
    if len(good) > 1 and f'{RUNNING}steps' in file.tensors:
        good = [r for r in good if not r.entry.startswith(RUNNING)]
    elif len(good) > 1:
        good = [r for r in good if AVERAGED.search(r.entry)] or good
    if len(good) != 1:
        names = [r.entry.removesuffix('.') for r in good or found]
        raise UserError(
            f'Checkpoint {path!r} has weights of this network in '
            f'{len(names)} places ({", ".join(map(repr, names))}); write '
            f'which to use: entry={names[0]!r}.'
        )
    (best,) = good
    others = tuple(r.entry for r in found if r is not best)
    return best._replace(others=others)
