"""Loss functions in plain torch, one value per sample."""

from kd_det.functional.at import attention_transfer_loss
from kd_det.functional.bounded import teacher_bounded_loss
from kd_det.functional.centroids import class_centroids
from kd_det.functional.cka import linear_cka
from kd_det.functional.crosskd import crosskd_box_loss, crosskd_class_loss
from kd_det.functional.cwd import cwd_loss
from kd_det.functional.darkrank import darkrank_loss
from kd_det.functional.dense_kd import sigmoid_kd_loss
from kd_det.functional.dist import dist_loss
from kd_det.functional.dkd import dkd_loss
from kd_det.functional.fgd import fgd_attention_loss, fgd_focal_loss
from kd_det.functional.ft import factor_transfer_loss
from kd_det.functional.iekd import exploration_loss, inheritance_loss
from kd_det.functional.kd import kd_loss
from kd_det.functional.ld import ld_loss
from kd_det.functional.mgd import mgd_loss
from kd_det.functional.nd import (
    fdr_cosine_loss,
    fdr_infonce_loss,
    nd_loss,
    norm_loss,
    sifn_loss,
)
from kd_det.functional.nkd import nkd_loss
from kd_det.functional.ofd import ofd_loss, ofd_margin
from kd_det.functional.pkd import pkd_loss
from kd_det.functional.query_kd import query_box_loss, query_costs
from kd_det.functional.retrieval import recall_at_k
from kd_det.functional.reviewkd import hcl_loss
from kd_det.functional.rkd import rkd_angle_loss, rkd_distance_loss
from kd_det.functional.sdd import region_pool, sdd_loss, sdd_weights
from kd_det.functional.srrl import (
    feature_matching_loss,
    softmax_regression_loss,
)

__all__ = [
    'attention_transfer_loss',
    'class_centroids',
    'crosskd_box_loss',
    'crosskd_class_loss',
    'cwd_loss',
    'darkrank_loss',
    'dist_loss',
    'dkd_loss',
    'exploration_loss',
    'factor_transfer_loss',
    'fdr_cosine_loss',
    'fdr_infonce_loss',
    'feature_matching_loss',
    'fgd_attention_loss',
    'fgd_focal_loss',
    'hcl_loss',
    'inheritance_loss',
    'kd_loss',
    'ld_loss',
    'linear_cka',
    'mgd_loss',
    'nd_loss',
    'nkd_loss',
    'norm_loss',
    'ofd_loss',
    'ofd_margin',
    'pkd_loss',
    'query_box_loss',
    'query_costs',
    'recall_at_k',
    'region_pool',
    'rkd_angle_loss',
    'rkd_distance_loss',
    'sdd_loss',
    'sdd_weights',
    'sifn_loss',
    'sigmoid_kd_loss',
    'softmax_regression_loss',
    'teacher_bounded_loss',
]
