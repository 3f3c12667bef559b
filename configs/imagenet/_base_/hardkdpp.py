"""Hard KD++: ND on the mean of both tokens, beside the hard KD of the token.

As in the ND script the cross-entropy has weight 1, and the weight of the KD
rises over 5 epochs, from 0 in the first. Ours: mixed images mix the class
means of their own classes; there, label smoothing adds those of the batch.
"""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    distillers=dict(
        token=dict(
            type='LogitDistiller',
            taps=dict(classifier='head.layers.head_dist'),
            losses=dict(loss_hardkd=dict(type='HardKDLoss', loss_weight=0.5)),
        ),
        logit=dict(
            type='LogitDistiller',
            losses=dict(loss_nd=dict(type='NDLoss', loss_weight=1.5)),
        ),
    )
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='kd_det.LossScheduleHook',
        schedules=dict(
            token=dict(loss_hardkd=dict(type='WarmUp', epochs=5, origin=0))
        ),
    ),
]
