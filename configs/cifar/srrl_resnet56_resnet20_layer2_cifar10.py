"""SRRL: ResNet-56 -> ResNet-20 on CIFAR-10, maps of stage 2 matched."""

_base_ = './srrl_resnet56_resnet20_layer1_cifar10.py'
model = dict(
    distillers=dict(
        feats=dict(
            taps=dict(student=['backbone.layer2'], teacher=['backbone.layer2'])
        )
    )
)
