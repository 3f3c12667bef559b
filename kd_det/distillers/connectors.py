"""The connectors of a distiller: checked, built, applied."""

from collections.abc import Callable, Iterable, Sequence

from torch import nn

from kd_det.compat import mmrazor
from kd_det.connectors import Connector, MMRazorConnector
from kd_det.errors import UserError, nearest
from kd_det.registry import build_part

MAPS = ('_map', '_maps', '_feats')  # ends of the fields that hold maps


class Connectors(nn.ModuleDict):
    """Field -> connector, through which the field passes before any loss.

    Args:
        owner: Name of the distiller's type, for messages.
        cfgs: Field -> config of a ``Connector``.
        fields: The fields that the distiller has.
        more: What a connector can work on beside the student's fields.
        feeds: What else is made of a field that has passed its connector.
        asked: The fields that the losses ask for.

    Raises:
        UserError: A field cannot pass through a connector, or nothing asks
            for what comes out.
    """

    def __init__(
        self,
        owner: str,
        cfgs: dict,
        fields: Sequence[str],
        more: Sequence[str],
        feeds: dict[str, tuple[str, ...]],
        asked: Iterable[str],
    ) -> None:
        super().__init__()
        if not isinstance(cfgs, dict):
            raise UserError(
                f'connectors={cfgs!r}; a dict of field -> '
                "dict(type='…') is accepted."
            )
        mine = [f for f in fields if f.startswith('student_')]
        mine += more
        for field, cfg in cfgs.items():
            # those of mmrazor come in pairs, one of them the teacher's
            theirs = field in fields and field.startswith('teacher_')
            if field not in mine and not (theirs and _is_mmrazor(cfg)):
                raise UserError(
                    f'connectors has {field!r}; the fields of {owner} that '
                    f'can pass through one are {", ".join(mine)}'
                    f'{nearest(str(field), mine) or "."}'
                )
            made = {field, *feeds.get(field, ())}
            known = field in fields or field in feeds
            if known and not made & {*asked}:
                raise UserError(
                    f'connectors has {field!r}, but no loss of this {owner} '
                    f'asks for {" or ".join(sorted(made))}, so that it would '
                    'not train; take the connector out, or add such a loss.'
                )
        self.cfgs = dict(cfgs)

    def build(self, channels: Callable[[str], tuple]) -> None:
        """Build them; ``cfgs`` then have the channels that were found.

        Args:
            channels: Returns those of a student's field in the student and
                in the teacher.

        Raises:
            UserError: A connector cannot be built or does not fit.
        """
        for field, cfg in self.cfgs.items():
            name = f'connectors.{field}'
            if _is_mmrazor(cfg):
                self[field] = MMRazorConnector(
                    name,
                    cfg,
                    lambda field=field: _around(field, channels),
                    field.endswith('_feats'),
                )
                continue
            if isinstance(cfg, dict) and not {
                'in_channels',
                'out_channels',
            } <= {*cfg}:
                ours, theirs = channels(field)
                cfg = dict(dict(in_channels=ours, out_channels=theirs), **cfg)
            self[field] = connector = build_part(name, cfg, Connector)
            if connector.on_maps is not None:
                _check_fits(field, connector, channels)
            self.cfgs[field] = cfg

    def forward(self, knowledge: dict) -> dict:
        """Return the knowledge with each connector applied to its field."""
        connected = {
            field: connector(
                knowledge[field],
                knowledge[field.replace('student_', 'teacher_')],
            )
            for field, connector in self.items()
        }
        return {**knowledge, **connected}


def _check_fits(
    field: str, connector: Connector, channels: Callable[[str], tuple]
) -> None:
    """Stop at one of our own that the first step would stop at."""
    what = f'connectors.{field} ({type(connector).__name__})'
    shapes = 'vectors (N, C)', 'maps (N, C, H, W)'
    on_maps = field.endswith(MAPS)
    if connector.on_maps != on_maps:
        fits = 'ConvAdaptor' if on_maps else 'LinearAdaptor'
        raise UserError(
            f'{what} works on {shapes[connector.on_maps]}, and the field '
            f"holds {shapes[on_maps]}; write type='{fits}'."
        )
    try:
        both = channels(field)
    except UserError:  # only the first step can tell
        return
    sides = ('in_channels', 'student'), ('out_channels', 'teacher')
    for (key, side), there in zip(sides, both):
        given = getattr(connector, key)
        if _listed(given) != _listed(there):
            raise UserError(
                f'{what} has {key}={given!r}, but the {side} has '
                f'{there!r} there; correct it, or leave it out and the '
                'distiller fills it in.'
            )


def _around(field: str, channels: Callable[[str], tuple]) -> tuple:
    ours, theirs = channels(field.replace('teacher_', 'student_'))
    return (theirs if field.startswith('teacher_') else ours), theirs


def _listed(channels: int | Sequence[int]) -> list[int]:
    return [channels] if isinstance(channels, int) else [*channels]


def _is_mmrazor(cfg: dict | list) -> bool:
    """Return whether a connector, or each of a list, is of mmrazor."""
    return all(map(mmrazor.is_type, cfg if isinstance(cfg, list) else [cfg]))
