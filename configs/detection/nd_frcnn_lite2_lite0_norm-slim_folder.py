"""SIFN for ND, with KD: slim Faster R-CNN Lite2 -> Lite0.

SIFN acts on the norm alone. The weight is ours: at a teacher's norm of 75 it
pulls as ND does, see docs/methods/nd.md.
"""

_base_ = './kd_frcnn_lite2_lite0_slim_folder.py'
model = dict(
    distillers=dict(
        roi=dict(
            losses=dict(loss_sifn=dict(type='SIFNLoss', loss_weight=0.01))
        )
    )
)
