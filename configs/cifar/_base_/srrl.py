"""SRRL: feature matching and softmax regression, each with weight 1.

That is what its code for ImageNet has. For CIFAR none is public; its author
names alpha, beta of 1, 1 and 1, 5 and 10, 1 as worth a trial.
"""

_base_ = '../../_base_/distill_classification_runtime.py'
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
