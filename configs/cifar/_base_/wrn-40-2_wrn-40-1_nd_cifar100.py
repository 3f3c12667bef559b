"""WRN-40-2 -> WRN-40-1 on CIFAR-100, by ND's recipe."""

_base_ = './recipe_nd_cifar100.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../baseline_wrn-40-2_cifar100.py',
        ckpt='work_dirs/baseline_wrn-40-2_cifar100/epoch_240.pth',
    ),
    student=dict(
        cfg='{{ fileDirname }}/../baseline_wrn-40-1_ndrecipe_cifar100.py'
    ),
    distillers=dict(
        logit=dict(
            centroids='data/centroids/wrn-40-2_cifar100.npz',
            connectors=dict(student_embed=dict(type='EmbeddingAdaptor')),
        )
    ),
)
