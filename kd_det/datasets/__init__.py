"""Data sets that are missing from MMDetection and MMPretrain.

Importing this package only needs NumPy and OpenCV, so that data can be
generated without loading a framework.
"""

from kd_det.datasets.shapes import SHAPES_CLASSES, make_shapes

__all__ = ['SHAPES_CLASSES', 'make_shapes']
