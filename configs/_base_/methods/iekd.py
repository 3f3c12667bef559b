"""IE-KD on all levels of two FPNs with equal strides.

The channels of each level are split before the heads, so both halves feed
them. Cosines are used because the mean over the entries of a unit vector
decreases with the size of a feature map. The child config sets the teacher's
auto-encoder and adds `method_hooks` to its `custom_hooks`: one epoch of stage
1, and logging of the two halves.
"""

method = dict(
    distillers=dict(
        factor=dict(
            type='FactorDistiller',
            channels=64,
            losses=dict(
                loss_inh=dict(
                    type='InheritanceLoss', p='cos', loss_weight=1.0
                ),
                loss_exp=dict(
                    type='ExplorationLoss', p='cos', loss_weight=1.0
                ),
            ),
        )
    )
)
method_hooks = [
    dict(type='kd_det.AutoEncoderHook', epochs=1, lr=0.01),
    dict(type='kd_det.FactorCosineHook'),
]
