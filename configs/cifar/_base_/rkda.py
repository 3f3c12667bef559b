"""RKD-A: the angles alone, weighted as in `rkd.py`, no warm-up."""

_base_ = './rkd.py'
method = dict(
    distillers=dict(
        logit=dict(
            losses=dict(
                _delete_=True,
                loss_rkd_a=dict(type='RKDAngleLoss', loss_weight=50.0),
            )
        )
    )
)
