"""IE-KD: ResNet-56 -> ResNet-20 on CIFAR-10, cosines, weights 1."""

_base_ = './iekd_resnet56_resnet20_cifar10.py'
model = dict(
    distillers=dict(
        factor=dict(
            losses=dict(
                loss_inh=dict(p='cos', loss_weight=1.0),
                loss_exp=dict(p='cos', loss_weight=1.0),
            )
        )
    )
)
