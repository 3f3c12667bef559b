"""The pair Faster R-CNN R-101 -> R-18 on COCO, without a method.

The teacher is MMDetection's best published R-101 (41.8 AP, 36 epochs,
multi-scale); the authors' teacher from detectron2 (3x) has 42.0. The student
is taken from its baseline config.
"""

model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='mmdet::faster_rcnn/faster-rcnn_r101_fpn_ms-3x_coco.py',
        # from MMDetection's metafile of this config
        ckpt='https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/'
        'faster_rcnn_r101_fpn_mstrain_3x_coco/'
        'faster_rcnn_r101_fpn_mstrain_3x_coco_20210524_110822-4d4d2ca8.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/../../baseline_frcnn_r18.py'),
)
