"""The peers of a MutualModel, and what each learns from each other."""

from torch import nn

from kd_det.checks import check_name
from kd_det.distillers import Distiller
from kd_det.errors import UserError
from kd_det.models.class_count import class_count
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
    for name in peers:
        check_name('A peer', name)
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
    for name in distillers:
        check_name('A distiller', name)


def check_counts(peers: dict[str, nn.Module]) -> None:
    """Stop if peers have heads for different numbers of classes.

    Args:
        peers: Name -> network.

    Raises:
        UserError: Two differ: they learn from the same labels.
    """
    counts = {name: class_count(model) for name, model in peers.items()}
    known = {name: count for name, count in counts.items() if count}
    if len({*known.values()}) > 1:
        raise UserError(
            f'The peers have heads of {known} classes and learn from the same '
            'labels; give each as many with num_classes=… in its dict, or '
            'name the classes of the data, which the tools hand on.'
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
    if isinstance(taps, dict) and not {*taps} <= {'student', 'teacher'}:
        absent = [name for name in (one, other) if name not in taps]
        if absent:
            raise UserError(
                f'distillers.{name} has taps of {", ".join(map(str, taps))}, '
                f'none of the peer {absent[0]!r}; points of every peer are '
                'accepted, or one list for all.'
            )
        points = dict(student=taps[one], teacher=taps[other])
        cfg = dict(cfg, taps=points)
    return build_part(f'distillers.{name}', cfg, Distiller)
