"""Build the peers of a MutualModel and their distillers."""

from torch import nn

from kd_det.checks import check_name
from kd_det.distillers import Distiller
from kd_det.errors import UserError
from kd_det.models.class_count import class_count
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS, build_part

Pairs = dict[tuple[str, str], dict[str, Distiller]]


def check_peers(peers: dict, distillers: dict) -> None:
    """Check the config of a ``MutualModel``.

    Args:
        peers: As for the model.
        distillers: As for the model.

    Raises:
        UserError: There are fewer than two peers, or a name is not accepted.
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
    """Raise if peers have heads for different numbers of classes.

    Args:
        peers: Name -> network.

    Raises:
        UserError: The numbers of two peers differ.
    """
    counts = {name: class_count(model) for name, model in peers.items()}
    known = {name: count for name, count in counts.items() if count}
    if len({*known.values()}) > 1:
        raise UserError(
            f'The peers have heads of {known} classes but learn from the '
            'same labels; set the same num_classes=… in the dict of each, '
            'or give the data set class names, which the tools pass on.'
        )


def build_peer(name: str, spec: dict) -> nn.Module:
    """Build a network.

    Args:
        name: For messages.
        spec: ``dict(cfg=..., **overrides)``.
    """
    return MODELS.build(read_spec(spec, f'peer {name}')[0])


def build_pairs(names: list[str], distillers: dict) -> Pairs:
    """Build the distillers of each pair of peers.

    Args:
        names: Names of the peers.
        distillers: Name -> config.

    Returns:
        (learning peer, teaching peer) -> name -> distiller.
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
    """Build a distiller with one peer as student, another as teacher."""
    if isinstance(cfg, dict) and 'auto_encoder' in cfg:
        raise UserError(
            f'distillers.{name} names an auto_encoder, but peers train their '
            "own; write type='MutualFactorDistiller' without it."
        )
    taps = cfg.get('taps') if isinstance(cfg, dict) else None
    if isinstance(taps, (list, tuple)):
        taps = dict.fromkeys((one, other), list(taps))
    if isinstance(taps, dict) and not {*taps} <= {'student', 'teacher'}:
        absent = [name for name in (one, other) if name not in taps]
        if absent:
            raise UserError(
                f'distillers.{name} has taps of {", ".join(map(str, taps))}, '
                f'but none for the peer {absent[0]!r}; points for every peer '
                'are accepted, or one list for all.'
            )
        points = dict(student=taps[one], teacher=taps[other])
        cfg = dict(cfg, taps=points)
    return build_part(f'distillers.{name}', cfg, Distiller)
