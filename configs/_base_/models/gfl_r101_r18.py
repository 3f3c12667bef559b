"""The pair GFL R-101 -> R-18 on COCO, without a method.

The teacher is MMDetection's (44.7 AP, 24 epochs, multi-scale). The student is
taken from its baseline config.
"""

model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='mmdet::gfl/gfl_r101_fpn_ms-2x_coco.py',
        # from MMDetection's metafile of this config
        ckpt='https://download.openmmlab.com/mmdetection/v2.0/gfl/'
        'gfl_r101_fpn_mstrain_2x_coco/'
        'gfl_r101_fpn_mstrain_2x_coco_20200629_200126-dd12f847.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/../../baseline_gfl_r18.py'),
)
