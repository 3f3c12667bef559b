"""RKD-DA between the foreground locations of a one-stage detector.

At most 128 locations; the weights are those of `rkd_roi.py`, untuned.
"""

method = dict(
    distillers=dict(
        dense=dict(
            type='DenseDistiller',
            losses=dict(
                loss_rkd_d=dict(
                    type='RKDDistanceLoss', max_samples=128, loss_weight=3.0
                ),
                loss_rkd_a=dict(
                    type='RKDAngleLoss', max_samples=128, loss_weight=6.0
                ),
            ),
        )
    )
)
