"""KD++: ResNet-56 -> ResNet-20 on CIFAR-10, both parts of ND, added."""

_base_ = './kdpp_resnet56_resnet20_dir_cifar10.py'
model = dict(
    distillers=dict(
        logit=dict(
            losses=dict(loss_sifn=dict(type='SIFNLoss', loss_weight=0.1))
        )
    )
)
