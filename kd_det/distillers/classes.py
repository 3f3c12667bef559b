"""The former name of :mod:`kd_det.distillers.class_match`."""

from kd_det.distillers.class_match import ClassMatch, match_classes

__all__ = ['ClassMatch', 'match_classes']
