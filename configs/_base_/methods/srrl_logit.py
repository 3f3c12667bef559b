"""SRRL for a classifier: an adaptor and the teacher's classification layer."""

method = dict(
    distillers=dict(
        logit=dict(
            type='LogitDistiller',
            connectors=dict(student_map=dict(type='ConvAdaptor')),
            losses=dict(
                loss_fm=dict(type='FeatureMatchingLoss'),
                loss_sr=dict(type='SoftmaxRegressionLoss'),
            ),
        )
    )
)
