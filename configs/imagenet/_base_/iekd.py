"""IE-KD (IE-FT) on the last map, halves of the channels, weights 50.

A child names the teacher's auto-encoder, which learns for two epochs here.
"""

_base_ = '../../_base_/factor_classification_runtime.py'
method = dict(
    distillers=dict(
        factor=dict(
            type='FactorDistiller',
            channels=256,
            taps=dict(
                student=['backbone.layer4'], teacher=['backbone.layer4']
            ),
            losses=dict(
                loss_inh=dict(type='InheritanceLoss', p=1, loss_weight=50.0),
                loss_exp=dict(type='ExplorationLoss', p=1, loss_weight=50.0),
            ),
        )
    )
)
custom_hooks = [
    _base_.custom_hooks[0],
    dict(type='kd_det.AutoEncoderHook', epochs=2),
    *_base_.custom_hooks[2:],
]
