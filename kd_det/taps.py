"""FeatureTap: records inputs or outputs of submodules in a forward pass."""

import functools
import re
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from kd_det.errors import UserError, nearest

MAX_NAMES = 12  # maximum number of submodules in a message


class Records(dict[str, list]):
    """Name of a point -> what it recorded; ``calls`` has all in order."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        super().__init__({name: [] for name in names})
        self.calls: list[tuple[str, Any]] = []

    def add(self, name: str, entry: Any) -> None:
        """Record what passed a point."""
        self[name].append(entry)
        self.calls.append((name, entry))

    def keep(self, name: str, chosen: Any) -> None:
        """Forget all that passed a point but one entry."""
        self[name][:] = [chosen]
        self.calls = [
            (other, entry)
            for other, entry in self.calls
            if other != name or entry is chosen
        ]


class FeatureTap:
    """Record inputs or outputs of named submodules in a ``with`` block.

    A tap point is a dotted module path, followed by ``:input`` to record the
    input (a tuple of all positional arguments) instead of the output. Each
    point records one entry per call, in order; with the suffix ``[-1]`` only
    the last call, with ``[0]`` the first and so on. The input of an in-place
    module is copied, since it would be overwritten; any other in-place change
    of a recorded tensor is an error. All hooks are removed at the end of the
    block, even after an exception.

    Args:
        module: The network.
        points: Record name -> tap point, e.g. ``{'embed':
            'roi_head.bbox_head.fc_cls:input'}``.

    Raises:
        UserError: A submodule or a requested call does not exist, or a record
            was changed in place afterwards.

    Example:
        >>> tap = FeatureTap(model, {'logits': 'head.fc'})
        >>> with tap as records:
        ...     model(images)
        >>> records['logits'][0].shape
    """

    def __init__(self, module: nn.Module, points: dict[str, str]) -> None:
        self._network = module
        self._written = dict(points)
        self._handles: list[RemovableHandle] = []
        self._find()

    def _find(self) -> None:
        """Look up the modules each time, since hooks may replace them."""
        self.points: dict[str, tuple] = {}
        for name, written in self._written.items():
            path, side, call = _split(written)
            module = find_module(self._network, path)
            self.points[name] = module, side, call

    def __enter__(self) -> Records:
        self._find()
        records = Records(self.points)
        self._records = records
        self._versions: dict[str, list] = {name: [] for name in records}
        for name, (module, side, _) in self.points.items():
            record = functools.partial(self._record, name)
            if side == 'input':
                handle = module.register_forward_pre_hook(
                    lambda module, args, record=record: record(
                        _kept(module, args)
                    )
                )
            else:
                handle = module.register_forward_hook(
                    lambda _, args, out, record=record: record(out)
                )
            self._handles.append(handle)
        return records

    def __exit__(self, error: type | None, *_) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        records, self._records = self._records, Records()
        versions, self._versions = self._versions, {}
        if error:
            return
        for name, (module, _, call) in self.points.items():
            if call is not None:
                records.keep(name, _pick(records[name], call, module))
                versions[name] = [versions[name][call]]
            if versions[name] != [_versions(e) for e in records[name]]:
                raise UserError(
                    f'The record of tap point {self._written[name]!r} was '
                    'changed in place afterwards, by an in-place activation '
                    "or addition; use the activation's path with ':input', "
                    'which copies its input, or a point after the change.'
                )

    def _record(self, name: str, entry) -> None:
        entry = _frozen(entry)
        self._records.add(name, entry)
        self._versions[name].append(_versions(entry))


def _frozen(entry: Any) -> Any:
    """Return an entry whose lists are copies: a head may replace items."""
    if isinstance(entry, list) or type(entry) is tuple:
        return type(entry)(map(_frozen, entry))
    return entry


def _kept(module: nn.Module, args: tuple) -> tuple:
    if not getattr(module, 'inplace', False):
        return args
    return tuple(a.clone() if isinstance(a, Tensor) else a for a in args)


def _versions(entry) -> list:
    """Return the version counters of the tensors of an entry."""
    if isinstance(entry, Tensor):
        # tensors of inference mode have no counter
        return [] if entry.is_inference() else [entry._version]
    if isinstance(entry, dict):
        entry = entry.values()
    elif not isinstance(entry, (tuple, list)):
        return []
    return [number for part in entry for number in _versions(part)]


def _pick(record: list, call: int, module: nn.Module):
    try:
        return record[call]
    except IndexError:
        raise UserError(
            f'A tap point requests call [{call}] of a '
            f'{type(module).__name__} that was called {len(record)} times.'
        ) from None


def _split(written: str) -> tuple[str, str, int | None]:
    point, bracket, call = written.partition('[')
    if bracket and not re.fullmatch(r'-?\d+\]', call):
        raise UserError(
            f'Tap point {point!r} ends in {bracket + call!r}; use [-1] for '
            'the last call, [0] for the first.'
        )
    path, _, side = point.partition(':')
    if side not in ('', 'input', 'output'):
        raise UserError(
            f'Tap point {point!r} ends in {side!r}; use the module path '
            "alone for its output, or with ':input' for its input."
        )
    return path, side or 'output', int(call[:-1]) if bracket else None


def find_module(module: nn.Module, path: str) -> nn.Module:
    """Return the submodule at ``path``, or raise and suggest another."""
    try:
        return module.get_submodule(path)
    except AttributeError:
        names = [name for name, _ in module.named_modules() if name]
        names = [name for name in names if not path.startswith(name)]
        raise UserError(
            f'{type(module).__name__} has no submodule '
            f'{path!r}{nearest(path, names) or ";"} '
            f'{_children(module, path)}.'
        ) from None


def _children(module: nn.Module, path: str) -> str:
    """Describe the existing submodules at the wrong part of a path."""
    found = ''
    for name in path.split('.'):
        below = dict(module.named_children())
        if name not in below:
            break
        found, module = f'{found}.{name}'.strip('.'), below[name]
    names = [*dict(module.named_children())]
    shown = ', '.join(map(repr, names[:MAX_NAMES])) or 'none'
    more = ', …' if len(names) > MAX_NAMES else ''
    who = f'{found or "it"}, a {type(module).__name__},'
    return f'{who} has {shown}{more}'
