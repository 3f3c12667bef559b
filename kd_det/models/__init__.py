"""The pair of networks as one MMEngine model."""

from kd_det.models import backbones  # noqa: F401  registers them
from kd_det.models.distill_model import DistillModel, require_pair
from kd_det.models.teacher import FrozenTeacher

__all__ = ['DistillModel', 'FrozenTeacher', 'require_pair']
