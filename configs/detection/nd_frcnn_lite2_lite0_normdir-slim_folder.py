"""Both parts of ND, added, with KD: slim Faster R-CNN Lite2 -> Lite0."""

_base_ = './nd_frcnn_lite2_lite0_dir-slim_folder.py'
model = dict(
    distillers=dict(
        roi=dict(
            losses=dict(loss_sifn=dict(type='SIFNLoss', loss_weight=0.01))
        )
    )
)
