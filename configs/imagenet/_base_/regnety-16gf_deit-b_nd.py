"""RegNetY-16GF -> DeiT-B on ImageNet, for ND."""

_base_ = './regnety-16gf_deit-b.py'
model = dict(
    distillers=dict(
        logit=dict(
            centroids='data/centroids/regnety-16gf_imagenet.npz',
            connectors=dict(student_embed=dict(type='EmbeddingAdaptor')),
        )
    )
)
