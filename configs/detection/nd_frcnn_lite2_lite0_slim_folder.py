"""ND with KD (KD++): slim Faster R-CNN Lite2 -> Lite0, 8 epochs.

The weight of the authors' R18-R101.
"""

_base_ = './kd_frcnn_lite2_lite0_slim_folder.py'
model = dict(
    distillers=dict(
        roi=dict(
            centroids='data/centroids/frcnn_lite2_slim_folder.npz',
            losses=dict(loss_nd=dict(type='NDLoss', loss_weight=1.5)),
        )
    )
)
