"""SRRL on RoIs: an adaptor and the teacher's frozen classification layer."""

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
