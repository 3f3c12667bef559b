"""SIFN for ND, with KD: Faster R-CNN R-101 -> R-18, COCO 1x.

SIFN acts on the norm alone. The weight is ours: at a teacher's norm of 75 it
pulls as ND does, see docs/methods/nd.md.
"""

_base_ = '../kd_frcnn_r101_r18.py'
model = dict(
    distillers=dict(
        roi=dict(
            losses=dict(loss_sifn=dict(type='SIFNLoss', loss_weight=0.01))
        )
    )
)
