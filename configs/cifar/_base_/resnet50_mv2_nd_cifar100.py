"""ResNet-50 -> MobileNetV2 on CIFAR-100, by ND's recipe."""

_base_ = './recipe_nd_mobile_cifar100.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_resnet50_cifar100.py',
        ckpt='work_dirs/baseline_resnet50_cifar100/epoch_240.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/../baseline_mv2_ndrecipe_cifar100.py'),
    distillers=dict(
        logit=dict(
            centroids='data/centroids/resnet50_cifar100.npz',
            connectors=dict(student_embed=dict(type='EmbeddingAdaptor')),
        )
    ),
)
