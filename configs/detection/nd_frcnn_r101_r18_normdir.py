"""Both parts of ND, added, with KD: Faster R-CNN R-101 -> R-18, COCO 1x."""

_base_ = './nd_frcnn_r101_r18_dir.py'
model = dict(
    distillers=dict(
        roi=dict(
            losses=dict(loss_sifn=dict(type='SIFNLoss', loss_weight=0.01))
        )
    )
)
