"""FeatureTap: what passes through named sub-modules during one forward."""

from torch import nn

from kd_det.errors import UserError, nearest


class FeatureTap:
    """Record inputs or outputs of named sub-modules while it is open.

    A point is a dotted module path, with ``:input`` behind it for what goes
    in (a tuple of all positional arguments) instead of what comes out. Each
    point records one entry a call, in order. On leaving the ``with`` block
    every hook is removed, also after an exception.

    Args:
        module: The network to listen to.
        points: Name of a record -> point, e.g.
            ``{'embed': 'roi_head.bbox_head.fc_cls:input'}``.

    Raises:
        UserError: A path leads to no sub-module.

    Example:
        >>> tap = FeatureTap(model, {'logits': 'head.fc'})
        >>> with tap as records:
        ...     model(images)
        >>> records['logits'][0].shape
    """

    def __init__(self, module: nn.Module, points: dict[str, str]) -> None:
        self.points = {}
        for name, point in points.items():
            path, side = _split(point)
            self.points[name] = find_module(module, path), side
        self._handles = []

    def __enter__(self) -> dict[str, list]:
        records = {name: [] for name in self.points}
        for name, (module, side) in self.points.items():
            record = records[name].append
            if side == 'input':
                handle = module.register_forward_pre_hook(
                    lambda _, args, record=record: record(args)
                )
            else:
                handle = module.register_forward_hook(
                    lambda _, args, out, record=record: record(out)
                )
            self._handles.append(handle)
        return records

    def __exit__(self, *_) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()


def _split(point: str) -> tuple[str, str]:
    path, _, side = point.partition(':')
    if side not in ('', 'input', 'output'):
        raise UserError(
            f'Tap point {point!r} ends in {side!r}; write the module path '
            "alone for its output or with ':input' for what goes in."
        )
    return path, side or 'output'


def find_module(module: nn.Module, path: str) -> nn.Module:
    """Return the sub-module at ``path``; a wrong path names the nearest."""
    try:
        return module.get_submodule(path)
    except AttributeError:
        names = [name for name, _ in module.named_modules() if name]
        raise UserError(
            f'{type(module).__name__} has no sub-module {path!r}'
            f'{nearest(path, names)}'
        ) from None
