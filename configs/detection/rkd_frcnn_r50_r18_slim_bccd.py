"""RKD-DA on the embeddings of objects: slim Faster R-CNN R-50 -> R-18.

On blood cells, with the weights of rkd_frcnn_r101_r18.py, which are ours:
about a tenth of the detection losses. 8 epochs, data and schedule of the
control.
"""

_base_ = './kd_frcnn_r50_r18_slim_bccd.py'
model = dict(
    distillers=dict(
        roi=dict(
            losses=dict(
                _delete_=True,
                loss_rkd_d=dict(
                    type='RKDDistanceLoss',
                    background='foreground',
                    max_samples=128,
                    loss_weight=3.0,
                ),
                loss_rkd_a=dict(
                    type='RKDAngleLoss',
                    background='foreground',
                    max_samples=128,
                    loss_weight=6.0,
                ),
            ),
        )
    )
)
