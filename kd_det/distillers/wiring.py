"""Assigns fields to the losses of a distiller."""

from collections.abc import Iterable, Sequence

from torch import nn

from kd_det.checks import check_name
from kd_det.compat import mmrazor
from kd_det.errors import UserError, nearest
from kd_det.losses import DistillLoss, MMRazorLoss
from kd_det.losses.auto_weight import build_auto_weight
from kd_det.registry import MODELS, build_part


def build_losses(owner: str, cfgs: dict) -> nn.ModuleDict:
    """Build the losses of a distiller.

    Args:
        owner: Type name of the distiller, for messages.
        cfgs: Name (``loss_…``) -> config of a ``DistillLoss``.

    Raises:
        UserError: There are none, or one is unknown or badly named.
    """
    if not isinstance(cfgs, dict):
        raise UserError(
            f'losses={cfgs!r} is a {type(cfgs).__name__}; a dict of '
            "name (loss_…) -> dict(type='…') is accepted."
        )
    if not cfgs:
        raise UserError(
            f'{owner} has losses={{}} and would do nothing; add a loss, or '
            'remove the distiller.'
        )
    return nn.ModuleDict({name: _build(name, c) for name, c in cfgs.items()})


def _build(name: str, cfg: dict) -> DistillLoss:
    if not isinstance(name, str) or not name.startswith('loss_'):
        raise UserError(
            f'A distillation loss is named {name!r}; names must start with '
            "'loss_', or MMEngine would not add the loss to the total."
        )
    check_name('A distillation loss', name)
    auto = None
    if isinstance(cfg, dict) and 'auto_weight' in cfg:
        cfg = dict(cfg)
        auto = cfg.pop('auto_weight')
    if mmrazor.is_type(cfg):
        loss = MMRazorLoss(name, cfg)
    else:
        loss = build_part(name, cfg, DistillLoss)
    if auto is not None:
        loss.auto_weight = build_auto_weight(name, auto)
    return loss


def wire(
    owner: str, losses: nn.ModuleDict, provided: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return the fields of each loss, from the parameters of ``forward``.

    Args:
        owner: Type name of the distiller, for messages.
        losses: Name -> loss.
        provided: Available fields.

    Raises:
        UserError: A loss requires a field that is not provided.
    """
    wiring = {}
    for name, loss in losses.items():
        fields = loss.fields()
        for field in fields.required:
            if field not in provided:
                raise UserError(
                    f'{owner} provides {", ".join(provided)}, but {name} '
                    f'({type(loss).__name__}) requires '
                    f'{field!r}{_fix(field, provided)}'
                )
        optional = [field for field in fields.optional if field in provided]
        wiring[name] = (*fields.required, *optional)
    return wiring


def _fix(field: str, provided: Iterable[str]) -> str:
    """Return the end of the message: how to provide the field."""
    if field == 'centroids':
        return "; set centroids='FILE.npz' in the distiller."
    owners = sorted(
        name
        for name, part in MODELS.module_dict.items()
        if field in getattr(part, 'provides', ())
    )
    if owners:
        return f'; it is a field of {", ".join(owners)}.'
    return nearest(field, provided) or '.'
