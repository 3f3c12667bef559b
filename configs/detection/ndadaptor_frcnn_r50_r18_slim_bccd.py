"""ND through a connector: slim Faster R-CNN R-50 -> R-18 on blood cells.

With KD. The weights are the authors' for R18-R101; 8 epochs, with the
baseline's data and schedule.
"""

_base_ = [
    './kd_frcnn_r50_r18_slim_bccd.py',
    '../_base_/methods/nd_adaptor_roi.py',
]
model = dict(distillers=dict(_delete_=True, **_base_.pop('method').distillers))
model['distillers']['roi'].centroids = 'data/centroids/frcnn_r50_slim_bccd.npz'
