"""MMRazorConnector: a connector of mmrazor on a field of a distiller."""

import inspect
from collections.abc import Callable, Sequence

from torch import nn

from kd_det.compat import mmrazor
from kd_det.connectors.base import Connector, Field
from kd_det.errors import UserError
from kd_det.random_state import OwnNumbers

# Connectors that no distiller can use.
UNSUPPORTED = {
    'BYOTConnector': 'it is a class layer of its own, for the '
    'self-distillation of mmrazor (BYOT)',
    'OFDTeacherConnector': "its margin is computed by mmrazor's OFDDistiller "
    'alone',
}
# What mmrazor calls the channels of a map before and behind a connector.
BEFORE = ('in_channel', 'in_channels', 'student_channels')
BEHIND = ('out_channel', 'teacher_channels')


class MMRazorConnector(Connector):
    """A connector of mmrazor as a ``Connector``, one a level.

    A distiller makes it of a config such as
    ``dict(type='mmrazor.ConvModuleConnector')``, or of a list of them, one a
    level. What else stands in the config goes to mmrazor's class; channels
    that it needs and does not get are those that the distiller sees. It may
    also stand on a field of the teacher, as mmrazor's FBKD and FT do. What
    it draws at random, such as MGD's masks, are numbers of its own.

    Args:
        name: Where the connector stands in the config.
        cfg: Its config, or one a level.
        channels: Returns the channels of the field in front of the connector
            and behind it.
        leveled: Whether the field has levels.

    Raises:
        UserError: mmrazor has no such connector, it cannot be used, its
            arguments do not fit, or there are not as many configs as levels.
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
                'levels; write one a level, or a single one for all.'
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
        """Return what mmrazor's connector makes of the field.

        Args:
            field: A tensor, or one a level.
            like: Not used.
        """
        with self.numbers.drawn():
            if isinstance(field, Sequence):
                levels = zip(self.levels, field, strict=True)
                return tuple(connector(level) for connector, level in levels)
            return self.levels[0](field)


def _lacks(found: type[nn.Module], cfg: dict) -> bool:
    """Return whether channels are needed that the config does not give."""
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
            f'{name} (mmrazor.Paraphraser) would train to repeat the teacher '
            "and not to teach; write phase='train', and the weights of its "
            'own training as init_cfg.'
        )
    connector = mmrazor.make(name, found, arguments)
    if arguments.get('init_cfg'):
        connector.init_weights()
    # it runs without gradients: nothing for DDP to wait for
    return connector.requires_grad_(not paraphraser)
