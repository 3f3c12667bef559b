"""RKD-A between embeddings, weighted as in the authors' scripts."""

method = dict(
    distillers=dict(
        embed=dict(
            type='EmbeddingDistiller',
            losses=dict(
                loss_rkd_a=dict(type='RKDAngleLoss', loss_weight=2.0),
            ),
        )
    )
)
