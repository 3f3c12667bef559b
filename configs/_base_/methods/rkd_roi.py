"""RKD-DA between the foreground RoIs of all images on a GPU, at most 128."""

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
