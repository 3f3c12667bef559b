"""ResNet-50 -> MobileNetV1 on ImageNet, by ND's recipe."""

_base_ = './recipe_nd.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='mmpretrain::resnet/resnet50_8xb32_in1k.py',
        ckpt='https://mmassets.onedl.ai/mmclassification/v0/resnet/resnet50_8xb32_in1k_20210831-ea4938fc.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/../baseline_mv1_ndrecipe_imagenet.py'),
    distillers=dict(
        logit=dict(
            centroids='data/centroids/resnet50_imagenet.npz',
            connectors=dict(student_embed=dict(type='EmbeddingAdaptor')),
        )
    ),
)
