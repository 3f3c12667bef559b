"""Distillation losses: modules based on ``kd_det.functional``."""

from kd_det.losses.at import AttentionTransferLoss
from kd_det.losses.base import DistillLoss
from kd_det.losses.bckd import BCKDBoxLoss, BCKDClassLoss
from kd_det.losses.bounded import TeacherBoundedLoss
from kd_det.losses.crosskd import (
    CrossKDBoxLoss,
    CrossKDClassLoss,
    CrossKDEdgeLoss,
)
from kd_det.losses.cwd import CWDLoss
from kd_det.losses.darkrank import DarkRankLoss
from kd_det.losses.dense_kd import DenseKDLoss, SigmoidKDLoss
from kd_det.losses.dist import DISTLoss
from kd_det.losses.dkd import DKDLoss
from kd_det.losses.fgd import FGDAttentionLoss, FGDFocalLoss, FGDGlobalLoss
from kd_det.losses.fitnet import FitNetLoss
from kd_det.losses.ft import FactorTransferLoss
from kd_det.losses.iekd import ExplorationLoss, InheritanceLoss
from kd_det.losses.iekd_maps import ExploreMapLoss, InheritMapLoss
from kd_det.losses.kd import HardKDLoss, KDLoss
from kd_det.losses.ld import LDLoss
from kd_det.losses.logit_loss import LogitLoss
from kd_det.losses.mask_kd import MaskKDLoss
from kd_det.losses.mgd import MGDLoss
from kd_det.losses.mmrazor import MMRazorLoss
from kd_det.losses.nd import (
    FDRCosineLoss,
    FDRInfoNCELoss,
    NDLoss,
    NormLoss,
    SIFNLoss,
)
from kd_det.losses.nkd import NKDLoss
from kd_det.losses.ofd import OFDLoss
from kd_det.losses.pkd import PKDLoss
from kd_det.losses.query_kd import QueryBoxLoss, QueryKDLoss
from kd_det.losses.reconstruction import ReconstructionLoss
from kd_det.losses.reviewkd import ReviewKDLoss
from kd_det.losses.rkd import (
    RelationalLoss,
    RKDAngleLoss,
    RKDDistanceLoss,
)
from kd_det.losses.rkd_maps import MapRelationLoss
from kd_det.losses.sdd import SDDLoss
from kd_det.losses.srrl import (
    BoxRegressionLoss,
    FeatureMatchingLoss,
    SoftmaxRegressionLoss,
)
from kd_det.losses.triplet import TripletLoss

__all__ = [
    'AttentionTransferLoss',
    'BCKDBoxLoss',
    'BCKDClassLoss',
    'BoxRegressionLoss',
    'CWDLoss',
    'CrossKDBoxLoss',
    'CrossKDClassLoss',
    'CrossKDEdgeLoss',
    'DISTLoss',
    'DKDLoss',
    'DarkRankLoss',
    'DenseKDLoss',
    'DistillLoss',
    'ExplorationLoss',
    'ExploreMapLoss',
    'FDRCosineLoss',
    'FDRInfoNCELoss',
    'FGDAttentionLoss',
    'FGDFocalLoss',
    'FGDGlobalLoss',
    'FactorTransferLoss',
    'FeatureMatchingLoss',
    'FitNetLoss',
    'HardKDLoss',
    'InheritMapLoss',
    'InheritanceLoss',
    'KDLoss',
    'LDLoss',
    'LogitLoss',
    'MGDLoss',
    'MMRazorLoss',
    'MapRelationLoss',
    'MaskKDLoss',
    'NDLoss',
    'NKDLoss',
    'NormLoss',
    'OFDLoss',
    'PKDLoss',
    'QueryBoxLoss',
    'QueryKDLoss',
    'RKDAngleLoss',
    'RKDDistanceLoss',
    'ReconstructionLoss',
    'RelationalLoss',
    'ReviewKDLoss',
    'SDDLoss',
    'SIFNLoss',
    'SigmoidKDLoss',
    'SoftmaxRegressionLoss',
    'TeacherBoundedLoss',
    'TripletLoss',
]
