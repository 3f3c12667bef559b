"""RKD-DA on the pooled features, weighted as in RepDistiller, no warm-up."""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            losses=dict(
                loss_rkd_d=dict(type='RKDDistanceLoss', loss_weight=25.0),
                loss_rkd_a=dict(type='RKDAngleLoss', loss_weight=50.0),
            ),
        )
    )
)
