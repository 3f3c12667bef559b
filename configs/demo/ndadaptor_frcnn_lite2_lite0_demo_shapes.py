"""The demo's student with ND through a connector and KD."""

_base_ = [
    './nd_frcnn_lite2_lite0_demo_shapes.py',
    '../_base_/methods/nd_adaptor_roi.py',
]
model = _base_.pop('method')
