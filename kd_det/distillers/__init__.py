"""Distillers: read matching fields from both networks."""

from kd_det.distillers.base import Distiller
from kd_det.distillers.cross_head import CrossHeadDistiller
from kd_det.distillers.dense import DenseDistiller
from kd_det.distillers.embedding import EmbeddingDistiller
from kd_det.distillers.factor import FactorDistiller
from kd_det.distillers.feature import FeatureDistiller
from kd_det.distillers.logit import LogitDistiller
from kd_det.distillers.mask import MaskDistiller
from kd_det.distillers.mutual import MutualFactorDistiller
from kd_det.distillers.query import QueryDistiller
from kd_det.distillers.roi import RoIDistiller

__all__ = [
    'CrossHeadDistiller',
    'DenseDistiller',
    'Distiller',
    'EmbeddingDistiller',
    'FactorDistiller',
    'FeatureDistiller',
    'LogitDistiller',
    'MaskDistiller',
    'MutualFactorDistiller',
    'QueryDistiller',
    'RoIDistiller',
]
