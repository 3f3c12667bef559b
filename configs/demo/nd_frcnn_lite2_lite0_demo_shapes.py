"""The demo's student with ND and KD (KD++)."""

_base_ = [
    './kd_frcnn_lite2_lite0_demo_shapes.py',
    '../_base_/methods/nd_roi.py',
]
model = _base_.pop('method')
model.distillers.roi.centroids = 'data/centroids/frcnn_lite2_demo_shapes.npz'
