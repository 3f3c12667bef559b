"""MMRazorConnector: mmrazor connectors in kd_det distillers."""

import inspect
from collections.abc import Callable, Sequence

from torch import nn

from kd_det.compat import mmrazor
from kd_det.connectors.base import Connector, Field
from kd_det.errors import UserError
from kd_det.random_state import OwnNumbers

# Connectors that cannot be used in a distiller.
UNSUPPORTED = {
    'BYOTConnector': "it is an extra classification layer for mmrazor's "
    'self-distillation (BYOT)',
    'OFDTeacherConnector': "its margin is computed by mmrazor's OFDDistiller "
    'alone',
}
# mmrazor's argument names for input and output channels.
BEFORE = ('in_channel', 'in_channels', 'student_channels')
BEHIND = ('out_channel', 'teacher_channels')


class MMRazorConnector(Connector):
    """An mmrazor connector as a ``Connector``, one per level.

    A distiller builds it from a config such as
    ``dict(type='mmrazor.ConvModuleConnector')``, or from a list with one per
    level. Other settings are passed to mmrazor's class; required channels that
    are not given are filled in by the distiller. It can also be applied to a
    teacher field, as in mmrazor's FBKD and FT. It has its own random
    generator, for example for MGD's masks.

    Args:
        name: Path of the connector in the config.
        cfg: Config of the connector, or a list with one per level.
        channels: Function that returns the channels of the connector's input
            and output.
        leveled: Whether the field has several levels.

    Raises:
        UserError: The connector is unknown or unusable, its arguments are
            wrong, or the number of configs differs from the number of levels.
    """

    def __init__(
        self,
        name: str,
        cfg: dict | Sequence[dict],
        channels: Callable[[], tuple],
        leveled: bool,
    ) -> None:
        several = not isinstance(cfg, dict)
        cfgs = [*cfg] if several else [cfg]
        found = [
            mmrazor.find(name, c, mmrazor.CONNECTORS, UNSUPPORTED)
            for c in cfgs
        ]
        before = behind = None
        if leveled or any(map(_lacks, found, cfgs)):
            before, behind = channels()
        super().__init__(before, behind)
        count = len(before) if leveled else 1
        if several and len(cfgs) != count:
            raise UserError(
                f'{name} has {len(cfgs)} configs, but the field has {count} '
                'levels; give one per level, or a single one for all.'
            )
        if not several:
            found, cfgs = found * count, cfgs * count
        self.levels = nn.ModuleList(
            _make(
                name,
                found[level],
                cfgs[level],
                before[level] if leveled else before,
                behind[level] if leveled else behind,
            )
            for level in range(count)
        )
        self.numbers = OwnNumbers()

    def forward(self, field: Field, like: Field) -> Field | tuple:
        """Apply mmrazor's connectors to a field.

        Args:
            field: A tensor, or one per level.
            like: Unused.
        """
        with self.numbers.drawn():
            if isinstance(field, Sequence):
                levels = zip(self.levels, field, strict=True)
                return tuple(connector(level) for connector, level in levels)
            return self.levels[0](field)


def _lacks(found: type[nn.Module], cfg: dict) -> bool:
    """Return whether the config lacks required channels."""
    return any(
        parameter.default is parameter.empty and key not in cfg
        for key, parameter in inspect.signature(found).parameters.items()
        if key in (*BEFORE, *BEHIND)
    )


def _make(
    name: str,
    found: type[nn.Module],
    cfg: dict,
    before: int | None,
    behind: int | None,
) -> nn.Module:
    arguments = {k: v for k, v in cfg.items() if k not in ('type', '_scope_')}
    for key, parameter in inspect.signature(found).parameters.items():
        if parameter.default is parameter.empty and key in (*BEFORE, *BEHIND):
            arguments.setdefault(key, before if key in BEFORE else behind)
    paraphraser = found.__name__ == 'Paraphraser'
    if paraphraser and arguments.get('phase') != 'train':
        raise UserError(
            f'{name} (mmrazor.Paraphraser) would be trained to reconstruct '
            "the teacher instead of distilling it; set phase='train', and "
            'init_cfg to its pretrained weights.'
        )
    connector = mmrazor.make(name, found, arguments)
    if arguments.get('init_cfg'):
        connector.init_weights()
    # it runs without gradients, so DDP must not expect any
    return connector.requires_grad_(not paraphraser)
