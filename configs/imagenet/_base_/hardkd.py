"""DeiT's distillation: the token learns the teacher's class, half and half."""

_base_ = '../../_base_/distill_classification_runtime.py'
method = dict(
    student=dict(head=dict(loss=dict(loss_weight=0.5))),
    distillers=dict(
        token=dict(
            type='LogitDistiller',
            taps=dict(classifier='head.layers.head_dist'),
            losses=dict(loss_hardkd=dict(type='HardKDLoss', loss_weight=0.5)),
        )
    ),
)
