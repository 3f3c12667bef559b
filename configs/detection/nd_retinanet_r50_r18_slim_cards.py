"""ND with KD: slim RetinaNet R-50 -> R-18 on playing cards, 8 epochs.

The embedding is what goes into the class layer at the locations on objects.
No paper distils dense heads this way; the weight is that of the authors'
Faster R-CNN R18-R101.
"""

_base_ = './kd_retinanet_r50_r18_slim_cards.py'
model = dict(
    distillers=dict(
        dense=dict(
            centroids='data/centroids/retinanet_r50_slim_cards.npz',
            losses=dict(loss_nd=dict(type='NDLoss', loss_weight=1.5)),
        )
    )
)
