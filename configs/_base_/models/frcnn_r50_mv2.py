"""The pair Faster R-CNN R-50 -> MobileNetV2 on COCO, without a method.

The teacher is MMDetection's best published R-50 (40.3 AP, 36 epochs,
multi-scale); the authors' teacher from detectron2 (3x) has 40.2. The student
is taken from its baseline config.
"""

model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='mmdet::faster_rcnn/faster-rcnn_r50_fpn_ms-3x_coco.py',
        # from MMDetection's metafile of this config
        ckpt='https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/'
        'faster_rcnn_r50_fpn_mstrain_3x_coco/'
        'faster_rcnn_r50_fpn_mstrain_3x_coco_20210524_110822-e10bd31c.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/../../baseline_frcnn_mv2.py'),
)
find_unused_parameters = True  # see the student's config
