"""Knowledge distillation for MMDetection and MMPretrain models."""

__version__ = '0.1.0'
