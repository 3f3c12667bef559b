"""IE-KD (IE-FT) on the last map, halves of the channels, weights 125.

Both losses compare unit vectors, so they fall with the square root of the
number of elements: on 256 channels of 7x7 cells they are 2.5 times smaller
than on CIFAR's 32 of 8x8, where the authors' weight is 50. A child names the
teacher's auto-encoder, which learns for two epochs here.
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
                loss_inh=dict(type='InheritanceLoss', p=1, loss_weight=125.0),
                loss_exp=dict(type='ExplorationLoss', p=1, loss_weight=125.0),
            ),
        )
    )
)
custom_hooks = [
    _base_.custom_hooks[0],
    dict(type='kd_det.AutoEncoderHook', epochs=2),
    *_base_.custom_hooks[2:],
]
