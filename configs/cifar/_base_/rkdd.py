"""RKD-D: the distances alone, weighted as in `rkd.py`, no warm-up."""

_base_ = './rkd.py'
method = dict(
    distillers=dict(
        logit=dict(
            losses=dict(
                _delete_=True,
                loss_rkd_d=dict(type='RKDDistanceLoss', loss_weight=25.0),
            )
        )
    )
)
