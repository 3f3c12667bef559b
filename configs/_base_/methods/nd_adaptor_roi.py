"""ND on RoI embeddings through a connector, with KD.

The child config sets the centroid file. The connector's batch norm and linear
layer absorb the norm and the offset shared by all classes, which otherwise
affect the student's own embedding.
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
