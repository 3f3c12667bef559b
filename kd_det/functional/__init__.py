"""The math of the losses as plain functions: torch only, per sample."""

from kd_det.functional.centroids import class_centroids
from kd_det.functional.cka import linear_cka
from kd_det.functional.dense import ld_loss, sigmoid_kd_loss
from kd_det.functional.features import (
    attention_transfer_loss,
    factor_transfer_loss,
    feature_matching_loss,
    hcl_loss,
    pkd_loss,
    softmax_regression_loss,
)
from kd_det.functional.inheritance import exploration_loss, inheritance_loss
from kd_det.functional.logits import dist_loss, dkd_loss, kd_loss, nkd_loss
from kd_det.functional.nd import (
    fdr_cosine_loss,
    fdr_infonce_loss,
    nd_loss,
    norm_loss,
    sifn_loss,
)
from kd_det.functional.overhaul import ofd_loss, ofd_margin
from kd_det.functional.ranking import darkrank_loss
from kd_det.functional.relational import rkd_angle_loss, rkd_distance_loss
from kd_det.functional.retrieval import recall_at_k
from kd_det.functional.sdd import region_pool, sdd_loss, sdd_weights

__all__ = [
    'attention_transfer_loss',
    'class_centroids',
    'darkrank_loss',
    'dist_loss',
    'dkd_loss',
    'exploration_loss',
    'factor_transfer_loss',
    'fdr_cosine_loss',
    'fdr_infonce_loss',
    'feature_matching_loss',
    'hcl_loss',
    'inheritance_loss',
    'kd_loss',
    'ld_loss',
    'linear_cka',
    'nd_loss',
    'nkd_loss',
    'norm_loss',
    'ofd_loss',
    'ofd_margin',
    'pkd_loss',
    'recall_at_k',
    'region_pool',
    'rkd_angle_loss',
    'rkd_distance_loss',
    'sdd_loss',
    'sdd_weights',
    'sifn_loss',
    'sigmoid_kd_loss',
    'softmax_regression_loss',
]
