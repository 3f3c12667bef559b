"""ND on RoI embeddings through a connector, with KD. A child gives the
centroid file.

The connector's batch norm and linear layer bring the norm and the offset that
all classes share; without it the student's own embedding has to.
"""

method = dict(
    distillers=dict(
        roi=dict(
            type='RoIDistiller',
            connectors=dict(student_embed=dict(type='EmbeddingAdaptor')),
            losses=dict(
                loss_nd=dict(type='NDLoss', loss_weight=1.5),
                loss_kd=dict(type='KDLoss', tau=1.0, loss_weight=1.0),
            ),
        )
    )
)
