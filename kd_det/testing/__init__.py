"""Tiny pairs and inputs for testing detectors, losses and hooks."""

from kd_det.testing.classifiers import tiny_classifier, tiny_classifier_pair
from kd_det.testing.detectors import (
    FAMILIES,
    tiny_detector,
    tiny_faster_rcnn,
)
from kd_det.testing.inputs import tiny_batch
from kd_det.testing.pairs import save_teacher, tiny_pair, tiny_run

__all__ = [
    'FAMILIES',
    'save_teacher',
    'tiny_batch',
    'tiny_classifier',
    'tiny_classifier_pair',
    'tiny_detector',
    'tiny_faster_rcnn',
    'tiny_pair',
    'tiny_run',
]
