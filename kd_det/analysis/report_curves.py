"""What runs have logged over time, sorted by what it says."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from kd_det.analysis.report_runs import ReportedRun
from kd_det.analysis.run_log import Points, changes

ByRun = dict[str, dict[str, Points]]  # name -> letter of the run -> points

SKIPPED = {'step', 'iter', 'epoch', 'time', 'data_time', 'memory', 'eta'}
GRADIENT = re.compile(r'_grad_(share|cosine|norm)$')
# what FeatureNormHook and FactorCosineHook log of a distiller
TREND = re.compile(
    r'\.(student_norm|teacher_norm|norm_ratio|centroid_cosine|embed_cka'
    r'|inherit_cosine|explore_cosine|factor_cosine)$'
)
# of COCO's metric, what is no average over IoU, sizes and classes
PARTIAL = re.compile(r'_mAP_(50|75|s|m|l)$|_precision$')


@dataclass(frozen=True)
class Curves:
    """Curves of all runs.

    Attributes:
        losses: Every loss.
        scores: What validations give, averaged.
        other_scores: COCO's parts of that: by IoU, size and class.
        gradients: Of GradientShareHook.
        trends: Norms, cosines and CKA.
        others: The rest, such as the learning rate.
    """

    losses: ByRun = field(default_factory=dict)
    scores: ByRun = field(default_factory=dict)
    other_scores: ByRun = field(default_factory=dict)
    gradients: ByRun = field(default_factory=dict)
    trends: ByRun = field(default_factory=dict)
    others: ByRun = field(default_factory=dict)


def read_curves(runs: Sequence[ReportedRun]) -> Curves:
    """Return what runs have logged; values that are not finite are left out.

    Args:
        runs: With their logs.
    """
    found = Curves()
    for run in runs:
        own = run.log.curves('train')
        # at the steps where they were measured, where these are logged
        own |= run.log.curves('single')
        for name, points in own.items():
            _add(_table_of(found, name), name, run, points)
        for name, points in run.log.curves('val').items():
            partial = PARTIAL.search(name)
            table = found.other_scores if partial else found.scores
            _add(table, name, run, points)
    return found


def _table_of(curves: Curves, name: str) -> ByRun:
    if GRADIENT.search(name):
        return curves.gradients
    if TREND.search(name):
        return curves.trends
    return curves.losses if 'loss' in name else curves.others


def _add(table: ByRun, name: str, run: ReportedRun, points: Points) -> None:
    points = [point for point in points if math.isfinite(point[1])]
    if GRADIENT.search(name) or TREND.search(name):
        points = changes(points)
    if name not in SKIPPED and points:
        table.setdefault(name, {})[run.letter] = points
