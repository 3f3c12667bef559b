"""IE-KD: ResNet-56 -> ResNet-20 on CIFAR-10, root mean squares."""

_base_ = './iekd_resnet56_resnet20_cifar10.py'
model = dict(
    distillers=dict(
        factor=dict(losses=dict(loss_inh=dict(p=2), loss_exp=dict(p=2)))
    )
)
