"""Baseline: Faster R-CNN MobileNetV2 alone, COCO 1x.

The student of the r50_mv2 runs is this very file. As in the ND authors'
configs, the FPN reads 24, 32, 96 and 320 channels at strides 4 to 32, no
stage is frozen, and batch norm keeps the statistics of ImageNet; unlike
there, its scale and shift are trained, as in MMDetection.
"""

_base_ = './baseline_frcnn_r50.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        out_indices=(1, 2, 4, 6),
        norm_eval=True,
        # the ImageNet weights under the names of MMDetection's MobileNetV2
        init_cfg=dict(
            type='Pretrained', checkpoint='open-mmlab://mmdet/mobilenet_v2'
        ),
    ),
    neck=dict(in_channels=[24, 32, 96, 320]),
)
# The backbone's last convolution, made for a classifier, is read by nothing:
# several GPUs would stop for want of its gradient.
find_unused_parameters = True
