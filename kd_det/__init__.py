"""Knowledge distillation for MMDetection and MMPretrain models."""

from kd_det.compat import mmcv_finder

__version__ = '0.1.0'

mmcv_finder.install()
