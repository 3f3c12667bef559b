"""ND with KD: slim RetinaNet R-50 -> R-18 on playing cards, 8 epochs.

The embedding is the input of the classification layer at foreground
locations. No paper distils dense heads this way; the weight is the authors'
for Faster R-CNN R18-R101.
"""

_base_ = [
    './kd_retinanet_r50_r18_slim_cards.py',
    '../_base_/methods/nd_dense.py',
]
model = _base_.pop('method')
model.distillers.dense.centroids = (
    'data/centroids/retinanet_r50_slim_cards.npz'
)
