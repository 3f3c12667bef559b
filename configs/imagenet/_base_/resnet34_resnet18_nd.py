"""ResNet-34 -> ResNet-18 on ImageNet, by ND's recipe."""

_base_ = './recipe_nd.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='mmpretrain::resnet/resnet34_8xb32_in1k.py',
        ckpt='https://mmassets.onedl.ai/mmclassification/v0/resnet/resnet34_8xb32_in1k_20210831-f257d4e6.pth',
    ),
    student=dict(
        cfg='{{ fileDirname }}/../baseline_resnet18_ndrecipe_imagenet.py'
    ),
    distillers=dict(
        logit=dict(
            centroids='data/centroids/resnet34_imagenet.npz',
        )
    ),
)
