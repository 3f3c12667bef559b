"""SRRL on a one-stage detector.

The maps that go into the student's class layer pass through an adaptor a
level into the teacher's frozen one. Both terms count at locations on objects,
by the student's own assigner; elsewhere all classes are far below zero.
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
