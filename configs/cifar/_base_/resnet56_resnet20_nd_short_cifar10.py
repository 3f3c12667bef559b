"""ResNet-56 -> ResNet-20 on CIFAR-10 in 30 epochs, for ND."""

_base_ = './resnet56_resnet20_short_cifar10.py'
model = dict(
    distillers=dict(
        logit=dict(centroids='data/centroids/resnet56_pad_cifar10.npz')
    )
)
