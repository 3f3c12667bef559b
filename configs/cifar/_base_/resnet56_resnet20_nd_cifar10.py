"""ResNet-56 -> ResNet-20 on CIFAR-10, by ND's recipe.

The teacher is a public network with zero-padded shortcuts, see
`recipe_pad_cifar10.py`: put its file where `ckpt` says.
"""

_base_ = './recipe_nd_cifar10.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_resnet56_pad_cifar10.py',
        ckpt='data/teachers/resnet56-4bfd9763.th',
        keys='akamaster',
    ),
    student=dict(
        cfg='{{ fileDirname }}/../baseline_resnet20_ndrecipe_cifar10.py'
    ),
    distillers=dict(
        logit=dict(
            centroids='data/centroids/resnet56_pad_cifar10.npz',
        )
    ),
)
