"""Connectors of a distiller."""

from collections.abc import Callable, Iterable, Sequence

from torch import nn

from kd_det.compat import mmrazor
from kd_det.connectors import Connector, MMRazorConnector
from kd_det.errors import UserError, nearest
from kd_det.registry import build_part

MAPS = ('_map', '_maps', '_feats')  # suffixes of fields with feature maps


class Connectors(nn.ModuleDict):
    """Field -> connector that is applied before any loss.

    Args:
        owner: Type name of the distiller, for messages.
        cfgs: Field -> config of a ``Connector``.
        fields: Fields of the distiller.
        more: Further inputs of connectors besides the student's fields.
        feeds: Further fields derived from a field after its connector.
        asked: Fields that the losses use.

    Raises:
        UserError: A field cannot have a connector, or its output is unused.
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
            # mmrazor's connectors come in pairs, one of them for the teacher
            theirs = field in fields and field.startswith('teacher_')
            if field not in mine and not (theirs and _is_mmrazor(cfg)):
                raise UserError(
                    f'connectors has {field!r}; the accepted fields of '
                    f'{owner} are '
                    f'{", ".join(mine)}{nearest(str(field), mine) or "."}'
                )
            made = {field, *feeds.get(field, ())}
            known = field in fields or field in feeds
            if known and not made & {*asked}:
                raise UserError(
                    f'connectors has {field!r}, but no loss of this {owner} '
                    f'uses {" or ".join(sorted(made))}, so it would not be '
                    'trained; remove the connector, or add such a loss.'
                )
        self.cfgs = dict(cfgs)

    def build(self, channels: Callable[[str], tuple]) -> None:
        """Build the connectors and fill in the channels in ``cfgs``.

        Args:
            channels: Function from a student field to its channels in the
                student and in the teacher.

        Raises:
            UserError: A connector cannot be built or does not match.
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
        """Apply the connectors to their fields."""
        connected = {
            field: connector(knowledge[field], _like(field, self, knowledge))
            for field, connector in self.items()
        }
        return {**knowledge, **connected}


def _like(field: str, connectors: nn.ModuleDict, knowledge: dict):
    """Return the teacher's field, of which only the shape is used.

    Without it, since no loss needs the teacher or only its width counts, a
    vector or a map of one pixel stands in.
    """
    theirs = field.replace('student_', 'teacher_')
    if theirs in knowledge:
        return knowledge[theirs]
    ours = knowledge[field]
    width = connectors[field].out_channels or ours.shape[1]
    return ours.new_empty(len(ours), width, *[1] * (ours.ndim - 2))


def _check_fits(
    field: str, connector: Connector, channels: Callable[[str], tuple]
) -> None:
    """Raise for a kd_det connector that would fail in the first step."""
    what = f'connectors.{field} ({type(connector).__name__})'
    shapes = 'vectors (N, C)', 'maps (N, C, H, W)'
    on_maps = field.endswith(MAPS)
    if connector.on_maps != on_maps:
        fits = 'ConvAdaptor' if on_maps else 'LinearAdaptor'
        raise UserError(
            f'{what} takes {shapes[connector.on_maps]}, but the field has '
            f"{shapes[on_maps]}; use type='{fits}'."
        )
    try:
        both = channels(field)
    except UserError:  # known in the first step only
        return
    sides = ('in_channels', 'student'), ('out_channels', 'teacher')
    for (key, side), there in zip(sides, both):
        given = getattr(connector, key)
        if _listed(given) != _listed(there):
            raise UserError(
                f'{what} has {key}={given!r}, but the {side} has {there!r}; '
                'correct it, or omit it and the distiller sets it.'
            )


def _around(field: str, channels: Callable[[str], tuple]) -> tuple:
    ours, theirs = channels(field.replace('teacher_', 'student_'))
    return (theirs if field.startswith('teacher_') else ours), theirs


def _listed(channels: int | Sequence[int]) -> list[int]:
    return [channels] if isinstance(channels, int) else [*channels]


def _is_mmrazor(cfg: dict | list) -> bool:
    """Return whether a connector, or each in a list, is mmrazor's."""
    return all(map(mmrazor.is_type, cfg if isinstance(cfg, list) else [cfg]))
