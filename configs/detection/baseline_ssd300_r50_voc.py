"""Teacher of the VOC runs: SSD300 R-50 alone."""

_base_ = './baseline_ssd300_r18_voc.py'
model = dict(
    backbone=dict(
        depth=50, init_cfg=dict(checkpoint='torchvision://resnet50')
    ),
    neck=dict(
        in_channels=(512, 1024, 2048),
        out_channels=(512, 1024, 2048, 512, 256, 256),
    ),
    bbox_head=dict(in_channels=(512, 1024, 2048, 512, 256, 256)),
)
