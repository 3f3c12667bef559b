"""ND with KD (KD++) on RoIs: Faster R-CNN R-101 -> R-18, COCO 1x.

As the authors do: the pair, both weights (their KD++ config R18-R101), no
warm-up, and every RoI that the student samples counts alike, background
being one more class. Their 180k iterations of batch 8 at lr 0.01 are, by
linear scaling, MMDetection's 1x: 90k of batch 16 (8 GPUs x 2) at lr 0.02.
With another batch, pass `--auto-scale-lr`.

Ours: the student sees one image scale (short side 800) where theirs sees
640 to 800, and both networks get RGB images by torchvision's statistics,
which is what their weights expect. The authors' R-18 has the statistics of
red and blue exchanged, and so has its teacher.
"""

_base_ = ['./kd_frcnn_r101_r18.py', './_base_/methods/nd_roi.py']
model = _base_.pop('method')
model.distillers.roi.centroids = 'data/centroids/frcnn_r101_coco.npz'
