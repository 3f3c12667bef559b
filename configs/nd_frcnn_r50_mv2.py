"""ND with KD (KD++) on RoIs: Faster R-CNN R-50 -> MobileNetV2, COCO 1x.

Weights of the authors' KD++ config MV2-R50; see `nd_frcnn_r101_r18.py` for
differences from their code. The class means are those of this teacher; the
authors used those of R-101. Their config stops after 30k iterations,
presumably left over from computing the means.
"""

_base_ = ['./kd_frcnn_r50_mv2.py', './_base_/methods/nd_roi.py']
model = _base_.pop('method')
model.distillers.roi.centroids = 'data/centroids/frcnn_r50_coco.npz'
model.distillers.roi.losses.loss_nd.loss_weight = 1.0
