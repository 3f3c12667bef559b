"""Say in words where a distiller reads both networks."""

from kd_det.distillers.base import Distiller
from kd_det.distillers.dense import DenseDistiller
from kd_det.distillers.feature import FeatureDistiller
from kd_det.distillers.mask import MaskDistiller
from kd_det.distillers.query import QueryDistiller
from kd_det.distillers.roi import RoIDistiller
from kd_det.errors import few


def describe(distiller: Distiller) -> str:
    """Describe where a distiller reads both networks, student first.

    Args:
        distiller: Distiller bound to both networks.
    """
    words = []
    if isinstance(distiller, RoIDistiller):
        ours, theirs = distiller.widths
        words = [f'the box head on the RoIs, {ours} and {theirs} wide']
    elif isinstance(distiller, MaskDistiller):
        words = ['the masks of foreground RoIs']
    elif isinstance(distiller, DenseDistiller):
        strides = [distiller.ours.strides[i] for i, _ in distiller.levels]
        kinds = dict.fromkeys((distiller.ours.kind, distiller.theirs.kind))
        words = [f'the {" and ".join(kinds)} at strides {few(strides)}']
    elif isinstance(distiller, QueryDistiller):
        ours, theirs = distiller.ours, distiller.theirs
        kinds = few([*dict.fromkeys((ours.kind, theirs.kind))])
        words = [
            f'the queries of {kinds}, {ours.queries} and {theirs.queries}'
        ]
    elif isinstance(distiller, FeatureDistiller):
        ours, theirs = (
            few([*dict.fromkeys(side)])
            for side in distiller.channels('student_feats')
        )
        words = [
            'the feature maps of the neck at strides '
            f'{few(distiller.strides)}, {ours} and {theirs} channels'
        ]
    through = {c['type'] for c in distiller.connectors.cfgs.values()}
    return ', '.join([*words, *(f'through {k}' for k in sorted(through))])
