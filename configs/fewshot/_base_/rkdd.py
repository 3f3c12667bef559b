"""RKD-D between the embeddings of an episode."""

method = dict(
    distillers=dict(
        embed=dict(
            type='EmbeddingDistiller',
            losses=dict(
                loss_rkd_d=dict(type='RKDDistanceLoss', loss_weight=50.0),
            ),
        )
    )
)
