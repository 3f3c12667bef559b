"""IE-KD on all levels of two FPNs that have the same stride.

Each level is divided by channels ahead of the heads, so that both halves
feed them. Cosines, since the mean over the entries of a unit vector shrinks
with the size of a map. A child names the teacher's auto-encoder and adds
`method_hooks` to its `custom_hooks`: one epoch of stage 1, and the log of what
the two halves do.
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
