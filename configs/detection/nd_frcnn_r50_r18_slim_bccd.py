"""ND with KD (KD++): slim Faster R-CNN R-50 -> R-18 on blood cells.

The weights are the authors' for R18-R101; 8 epochs, with the baseline's data
and schedule.
"""

_base_ = ['./kd_frcnn_r50_r18_slim_bccd.py', '../_base_/methods/nd_roi.py']
model = _base_.pop('method')
model.distillers.roi.centroids = 'data/centroids/frcnn_r50_slim_bccd.npz'
