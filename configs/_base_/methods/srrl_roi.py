"""SRRL: an adaptor, then the teacher's frozen class layer of the box head."""

method = dict(
    distillers=dict(
        roi=dict(
            type='RoIDistiller',
            connectors=dict(student_embed=dict(type='LinearAdaptor')),
            losses=dict(
                loss_fm=dict(type='FeatureMatchingLoss'),
                loss_sr=dict(type='SoftmaxRegressionLoss'),
            ),
        )
    )
)
