"""Margins of OFD, from the teacher's batch norms."""

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kd_det.distillers.levels import levels_at
from kd_det.errors import UserError
from kd_det.functional import ofd_margin
from kd_det.taps import FeatureTap, find_module


def margins_at(
    model: nn.Module,
    points: dict[str, str],
    levels: list[int],
    channels: list[int],
    norms: list[str] | None = None,
) -> list[Tensor]:
    """Return the margins (C,) of each level.

    The batch norm of a level is the last one of matching width that runs
    before the tap point, found by running a blank image.

    Args:
        model: The teacher's network.
        points: Name -> tap point, see ``FeatureTap``, with one map each.
        levels: Indices into ``points``, one per level.
        channels: Channels of each level.
        norms: Paths of the batch norms, one per level, instead.

    Raises:
        UserError: There is no matching batch norm, or a path does not lead to
            one.
    """
    if norms is None:
        found = _last_norms(model, points, levels, channels)
    else:
        if len(norms) != len(channels):
            raise UserError(
                f'norms={norms!r} has {len(norms)} paths for {len(channels)} '
                'levels; the numbers must be equal.'
            )
        found = [find_module(model, path) for path in norms]
    for level, (norm, width) in enumerate(zip(found, channels)):
        fits = isinstance(norm, _BatchNorm) and norm.weight is not None
        if not fits or len(norm.weight) != width:
            raise UserError(
                f'Level {level} of {type(model).__name__}, {width} channels, '
                'has no batch norm of its width before it, from which OFD '
                'computes its margins; set the paths of batch norms in '
                'norms=[…], and do not use fuse_conv_bn for the teacher.'
            )
    return [ofd_margin(norm.weight, norm.bias) for norm in found]


def _last_norms(
    model: nn.Module,
    points: dict[str, str],
    levels: list[int],
    channels: list[int],
) -> list[nn.Module | None]:
    order: list[nn.Module | str] = []
    handles = [
        module.register_forward_hook(lambda m, *_: order.append(m))
        for module in model.modules()
        if isinstance(module, _BatchNorm)
    ]
    for name, (module, side, _) in FeatureTap(model, points).points.items():

        def note(*_, name=name):
            order.append(name)

        register = (
            module.register_forward_pre_hook
            if side == 'input'
            else module.register_forward_hook
        )
        handles.append(register(note))
    try:
        levels_at(model, points)
    finally:
        for handle in handles:
            handle.remove()
    names = [*points]
    if max(levels) >= len(names):
        raise UserError(
            'OFD needs one tap point per level, but a point has several '
            "maps; list them separately in taps=dict(teacher=['…', …])."
        )
    found = []
    for level, width in zip(levels, channels):
        last = len(order) - 1 - order[::-1].index(names[level])
        before = [
            entry
            for entry in order[:last]
            if not isinstance(entry, str) and entry.num_features == width
        ]
        found.append(before[-1] if before else None)
    return found
