"""Student and teacher as one MMEngine model."""

from kd_det.models import backbones  # noqa: F401  registers them
from kd_det.models.distill_model import DistillModel, require_pair
from kd_det.models.embedder import EmbeddingModel
from kd_det.models.mutual_model import MutualModel
from kd_det.models.prototype_head import PrototypeLoss
from kd_det.models.teacher import FrozenTeacher

__all__ = [
    'DistillModel',
    'EmbeddingModel',
    'FrozenTeacher',
    'MutualModel',
    'PrototypeLoss',
    'require_pair',
]
