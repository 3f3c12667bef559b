"""RKD-A between the embeddings of an episode."""

method = dict(
    distillers=dict(
        embed=dict(
            type='EmbeddingDistiller',
            losses=dict(
                loss_rkd_a=dict(type='RKDAngleLoss', loss_weight=100.0),
            ),
        )
    )
)
