"""KD of RoI logits and masks: Mask R-CNN R-101 -> R-18, COCO 1x.

The teacher is MMDetection's published R-101 (42.7 box AP, 38.5 mask AP, 36
epochs, multi-scale). The weights are untested.
"""

_base_ = [
    '../_base_/methods/maskkd.py',
    '../_base_/datasets/coco_masks.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    '../_base_/distill_runtime.py',
]
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='mmdet::mask_rcnn/mask-rcnn_r101_fpn_ms-poly-3x_coco.py',
        # from MMDetection's metafile of this config
        ckpt='https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/'
        'mask_rcnn_r101_fpn_mstrain-poly_3x_coco/'
        'mask_rcnn_r101_fpn_mstrain-poly_3x_coco_20210524_200244-5675c317.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/baseline_mrcnn_r18.py'),
    distillers=_base_.pop('method').distillers,
)
