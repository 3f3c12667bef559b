"""The pair RetinaNet R-101 -> R-18 on COCO, without a method.

The teacher is MMDetection's best published R-101 (41.0 AP, 36 epochs,
multi-scale). The student is taken from its baseline config.
"""

model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='mmdet::retinanet/retinanet_r101_fpn_ms-640-800-3x_coco.py',
        # from MMDetection's metafile of this config
        ckpt='https://download.openmmlab.com/mmdetection/v2.0/retinanet/'
        'retinanet_r101_fpn_mstrain_3x_coco/'
        'retinanet_r101_fpn_mstrain_3x_coco_20210720_214650-7ee888e0.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/../../baseline_retinanet_r18.py'),
)
