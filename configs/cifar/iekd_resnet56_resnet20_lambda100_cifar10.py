"""IE-KD: ResNet-56 -> ResNet-20 on CIFAR-10, weights 100."""

_base_ = './iekd_resnet56_resnet20_cifar10.py'
model = dict(
    distillers=dict(
        factor=dict(
            losses=dict(
                loss_inh=dict(loss_weight=100.0),
                loss_exp=dict(loss_weight=100.0),
            )
        )
    )
)
