"""ND with KD (KD++) on RoIs: Faster R-CNN R-101 -> R-50, COCO 1x.

Weights of the authors' KD++ config R50-R101; see `nd_frcnn_r101_r18.py` for
differences from their code.
"""

_base_ = ['./kd_frcnn_r101_r50.py', './_base_/methods/nd_roi.py']
model = _base_.pop('method')
model.distillers.roi.centroids = 'data/centroids/frcnn_r101_coco.npz'
model.distillers.roi.losses.loss_nd.loss_weight = 1.0
