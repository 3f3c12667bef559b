"""ND alone: slim Faster R-CNN R-50 -> R-18 on blood cells, 8 epochs."""

_base_ = './nd_frcnn_r50_r18_slim_bccd.py'
model = dict(
    distillers=dict(
        roi=dict(
            losses=dict(
                _delete_=True, loss_nd=dict(type='NDLoss', loss_weight=1.5)
            )
        )
    )
)
