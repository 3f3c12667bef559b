"""ND with KD (KD++): slim Faster R-CNN Lite2 -> Lite0, 8 epochs.

The weight is the authors' for R18-R101.
"""

_base_ = [
    './kd_frcnn_lite2_lite0_slim_folder.py',
    '../_base_/methods/nd_roi.py',
]
model = _base_.pop('method')
model.distillers.roi.centroids = 'data/centroids/frcnn_lite2_slim_folder.npz'
