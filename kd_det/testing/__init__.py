"""Small pairs and inputs, to test your own detectors, losses and hooks."""

from kd_det.testing.classifiers import tiny_classifier, tiny_classifier_pair
from kd_det.testing.pairs import (
    save_teacher,
    tiny_faster_rcnn,
    tiny_pair,
    tiny_run,
)

__all__ = [
    'save_teacher',
    'tiny_classifier',
    'tiny_classifier_pair',
    'tiny_faster_rcnn',
    'tiny_pair',
    'tiny_run',
]
