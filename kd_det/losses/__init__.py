"""Distillation losses: modules around ``kd_det.functional``."""

from kd_det.losses.base import DistillLoss
from kd_det.losses.kd import KDLoss
from kd_det.losses.nd import (
    FDRCosineLoss,
    FDRInfoNCELoss,
    NDLoss,
    NormLoss,
    SIFNLoss,
)

__all__ = [
    'DistillLoss',
    'FDRCosineLoss',
    'FDRInfoNCELoss',
    'KDLoss',
    'NDLoss',
    'NormLoss',
    'SIFNLoss',
]
