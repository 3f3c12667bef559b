"""ReviewKD++: ND beside ReviewKD, warmed up as in `kdpp.py`. A child gives
the weights. See `reviewkd.py`.
"""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    distillers=dict(
        feats=dict(
            type='FeatureDistiller',
            taps=dict(
                student=[
                    'backbone.layer1',
                    'backbone.layer2',
                    'backbone.layer3',
                    'neck',
                ],
                teacher=[
                    'backbone.layer1.relu:input',
                    'backbone.layer2.relu:input',
                    'backbone.layer3.relu:input',
                    'neck',
                ],
            ),
            connectors=dict(student_feats=dict(type='ABFConnector')),
            losses=dict(loss_reviewkd=dict(type='ReviewKDLoss')),
        ),
        logit=dict(
            type='LogitDistiller', losses=dict(loss_nd=dict(type='NDLoss'))
        ),
    )
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='kd_det.LossScheduleHook',
        schedules=dict(
            feats=dict(loss_reviewkd=dict(type='WarmUp', epochs=20, origin=0))
        ),
    ),
]
