"""Data sets that mmdet and mmpretrain do not have.

Importing this package stays light (NumPy and OpenCV), so that data can be
made before a framework is loaded.
"""

from kd_det.datasets.shapes import SHAPES_CLASSES, make_shapes

__all__ = ['SHAPES_CLASSES', 'make_shapes']
