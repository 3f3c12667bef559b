"""ND with KD: slim GFL R-50 -> R-18 on playing cards, 8 epochs.

The embedding is what goes into the class layer at the locations on objects.
No paper distils dense heads this way; the weight is that of the authors'
Faster R-CNN R18-R101.
"""

_base_ = [
    './kd_gfl_r50_r18_slim_cards.py',
    '../_base_/methods/nd_dense.py',
]
model = _base_.pop('method')
model.distillers.dense.centroids = 'data/centroids/gfl_r50_slim_cards.npz'
