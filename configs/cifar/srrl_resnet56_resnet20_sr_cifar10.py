"""SRRL: ResNet-56 -> ResNet-20 on CIFAR-10, softmax regression alone."""

_base_ = './srrl_resnet56_resnet20_cifar10.py'
model = dict(
    distillers=dict(
        logit=dict(
            losses=dict(
                _delete_=True, loss_sr=dict(type='SoftmaxRegressionLoss')
            )
        )
    )
)
