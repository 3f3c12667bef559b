"""ND with KD (KD++) on RoIs: Faster R-CNN R-101 -> R-18, COCO 1x.

As in the authors' code: the pair, both weights (their KD++ config R18-R101),
no warm-up, and equal weights for all RoIs sampled by the student, with
background as an additional class. Their 180k iterations with batch size 8 and
lr 0.01 correspond, by linear scaling, to MMDetection's 1x: 90k with batch size
16 (8 GPUs x 2) and lr 0.02. With another batch size, pass `--auto-scale-lr`.

Different: the student uses one image scale (short side 800) instead of 640 to
800, which `detection/nd_frcnn_r101_r18_ms.py` has, and both networks get RGB
images with torchvision's normalisation, as their weights expect. In the
authors' code the red and blue statistics are swapped for R-18 and its teacher.
"""

_base_ = ['./kd_frcnn_r101_r18.py', './_base_/methods/nd_roi.py']
model = _base_.pop('method')
model.distillers.roi.centroids = 'data/centroids/frcnn_r101_coco.npz'
