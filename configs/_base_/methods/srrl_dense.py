"""SRRL on a one-stage detector.

The input of the student's classification layer passes through one adaptor per
level into the teacher's frozen classification layer. Both terms are computed
at the foreground locations of the student's assigner; elsewhere all class
logits are far below zero.
"""

method = dict(
    distillers=dict(
        dense=dict(
            type='DenseDistiller',
            connectors=dict(student_maps=dict(type='ConvAdaptor')),
            losses=dict(
                loss_fm=dict(type='FeatureMatchingLoss'),
                loss_sr=dict(type='SoftmaxRegressionLoss', mode='bce'),
            ),
        )
    )
)
