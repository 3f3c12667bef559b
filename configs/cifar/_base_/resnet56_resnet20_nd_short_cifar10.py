"""ResNet-56 -> ResNet-20 on 480 images of CIFAR-10, for ND."""

_base_ = './resnet56_resnet20_short_cifar10.py'
model = dict(
    distillers=dict(
        logit=dict(centroids='data/centroids/resnet56_pad_cifar10.npz')
    )
)
