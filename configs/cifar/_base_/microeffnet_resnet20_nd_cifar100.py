"""MicroEffNet -> ResNet-20 on CIFAR-100, by ND's recipe."""

_base_ = './recipe_nd_cifar100.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_microeffnet_cifar100.py',
        ckpt='data/teachers/micro_effnet_cifar100.pth',
        keys='micro_effnet',
    ),
    student=dict(
        cfg='{{ fileDirname }}/../baseline_resnet20_ndrecipe_cifar100.py'
    ),
    distillers=dict(
        logit=dict(
            centroids='data/centroids/microeffnet_cifar100.npz',
            connectors=dict(student_embed=dict(type='EmbeddingAdaptor')),
        )
    ),
)
