"""RKD-D between embeddings, weighted as in the authors' scripts."""

method = dict(
    distillers=dict(
        embed=dict(
            type='EmbeddingDistiller',
            losses=dict(
                loss_rkd_d=dict(type='RKDDistanceLoss', loss_weight=1.0),
            ),
        )
    )
)
