"""`kd_rkd.py` and the terms of `rkd_rkd.py` beside it."""

_base_ = './kd_rkd.py'
method = dict(
    distillers=dict(
        logit=dict(
            losses=dict(
                loss_rkd_d=dict(
                    type='RKDDistanceLoss', normalize=True, loss_weight=25.0
                ),
                loss_rkd_a=dict(
                    type='RKDAngleLoss', normalize=True, loss_weight=50.0
                ),
            )
        )
    )
)
