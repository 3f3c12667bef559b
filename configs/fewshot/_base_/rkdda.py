"""RKD-DA between the embeddings of an episode: half of either weight."""

method = dict(
    distillers=dict(
        embed=dict(
            type='EmbeddingDistiller',
            losses=dict(
                loss_rkd_d=dict(type='RKDDistanceLoss', loss_weight=25.0),
                loss_rkd_a=dict(type='RKDAngleLoss', loss_weight=50.0),
            ),
        )
    )
)
