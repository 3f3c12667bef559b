"""The peers of a MutualModel, and what each learns from each other."""

from torch import nn

from kd_det.distillers import Distiller
from kd_det.errors import UserError
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS, build_part

Pairs = dict[tuple[str, str], dict[str, Distiller]]


def check_peers(peers: dict, distillers: dict) -> None:
    """Stop at what cannot be the config of a ``MutualModel``.

    Args:
        peers: As the model takes them.
        distillers: As the model takes them.

    Raises:
        UserError: There are too few, or a name is none.
    """
    if not isinstance(peers, dict) or len(peers) < 2:
        raise UserError(
            f'peers={peers!r}; a dict of two or more, name -> dict(cfg=…), '
            'is accepted.'
        )
    odd = [name for name in peers if not str(name).isalnum()]
    if odd:
        raise UserError(
            f'A peer is named {odd[0]!r}; a name of letters and digits is '
            'accepted.'
        )
    if not isinstance(distillers, dict) or not distillers:
        raise UserError(
            f'distillers={distillers!r}; a dict of name -> '
            "dict(type='LogitDistiller', …) is accepted."
        )


def build_peer(name: str, spec: dict) -> nn.Module:
    """Build a network.

    Args:
        name: For messages.
        spec: ``dict(cfg=..., **overrides)``.
    """
    return MODELS.build(read_spec(spec, f'peer {name}')[0])


def build_pairs(names: list[str], distillers: dict) -> Pairs:
    """Build what each peer has towards each other one.

    Args:
        names: Of the peers.
        distillers: Name -> config.

    Returns:
        (who learns, who teaches) -> name -> distiller.
    """
    return {
        (one, other): {
            name: _distiller(name, cfg, one, other)
            for name, cfg in distillers.items()
        }
        for one in names
        for other in names
        if one != other
    }


def _distiller(name: str, cfg: dict, one: str, other: str) -> Distiller:
    """Build a distiller of one peer with another as its teacher."""
    if isinstance(cfg, dict) and 'auto_encoder' in cfg:
        raise UserError(
            f'distillers.{name} names an auto_encoder, which peers train '
            "themselves; write type='MutualFactorDistiller' without it."
        )
    taps = cfg.get('taps') if isinstance(cfg, dict) else None
    if isinstance(taps, (list, tuple)):
        taps = dict.fromkeys((one, other), list(taps))
    if isinstance(taps, dict) and {one, other} <= {*taps}:
        points = dict(student=taps[one], teacher=taps[other])
        cfg = dict(cfg, taps=points)
    return build_part(f'distillers.{name}', cfg, Distiller)
