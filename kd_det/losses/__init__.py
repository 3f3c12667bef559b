"""Distillation losses: modules around ``kd_det.functional``."""

from kd_det.losses.base import DistillLoss
from kd_det.losses.dist import DISTLoss
from kd_det.losses.dkd import DKDLoss
from kd_det.losses.kd import HardKDLoss, KDLoss
from kd_det.losses.logit_loss import LogitLoss
from kd_det.losses.nd import (
    FDRCosineLoss,
    FDRInfoNCELoss,
    NDLoss,
    NormLoss,
    SIFNLoss,
)
from kd_det.losses.nkd import NKDLoss
from kd_det.losses.reviewkd import ReviewKDLoss
from kd_det.losses.sdd import SDDLoss

__all__ = [
    'DISTLoss',
    'DKDLoss',
    'DistillLoss',
    'FDRCosineLoss',
    'FDRInfoNCELoss',
    'HardKDLoss',
    'KDLoss',
    'LogitLoss',
    'NDLoss',
    'NKDLoss',
    'NormLoss',
    'ReviewKDLoss',
    'SDDLoss',
    'SIFNLoss',
]
