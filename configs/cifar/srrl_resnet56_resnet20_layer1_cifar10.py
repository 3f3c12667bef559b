"""SRRL: ResNet-56 -> ResNet-20 on CIFAR-10, maps of stage 1 matched.

Without softmax regression, which needs the last feature.
"""

_base_ = './srrl_resnet56_resnet20_cifar10.py'
model = dict(
    distillers=dict(
        _delete_=True,
        feats=dict(
            type='FeatureDistiller',
            taps=dict(
                student=['backbone.layer1'], teacher=['backbone.layer1']
            ),
            connectors=dict(student_feats=dict(type='ConvAdaptor')),
            losses=dict(loss_fm=dict(type='FitNetLoss')),
        ),
    )
)
