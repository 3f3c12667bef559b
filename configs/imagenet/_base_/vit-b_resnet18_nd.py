"""ViT-B -> ResNet-18 on ImageNet, by ND's recipe.

The teacher has the weights of DeiT that MMPretrain publishes; those of the ND
scripts are timm's.
"""

_base_ = './recipe_nd.py'
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='mmpretrain::deit/deit-base_16xb64_in1k.py',
        ckpt='https://mmassets.onedl.ai/mmclassification/v0/deit/deit-base_pt-16xb64_in1k_20220216-db63c16c.pth',
    ),
    student=dict(
        cfg='{{ fileDirname }}/../baseline_resnet18_ndrecipe_imagenet.py'
    ),
    distillers=dict(
        logit=dict(
            centroids='data/centroids/vit-b_imagenet.npz',
            connectors=dict(student_embed=dict(type='EmbeddingAdaptor')),
        )
    ),
)
