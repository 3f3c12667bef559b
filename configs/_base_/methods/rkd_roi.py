"""RKD-DA between the RoIs on objects of a GPU's images, 128 at most."""

method = dict(
    distillers=dict(
        roi=dict(
            type='RoIDistiller',
            losses=dict(
                loss_rkd_d=dict(
                    type='RKDDistanceLoss',
                    background='foreground',
                    max_samples=128,
                    loss_weight=3.0,
                ),
                loss_rkd_a=dict(
                    type='RKDAngleLoss',
                    background='foreground',
                    max_samples=128,
                    loss_weight=6.0,
                ),
            ),
        )
    )
)
