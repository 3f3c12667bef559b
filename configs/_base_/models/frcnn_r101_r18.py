"""The pair Faster R-CNN R-101 -> R-18 on COCO, without a method.

The teacher is the best R-101 that MMDetection publishes: 41.8 AP after 36
epochs at several scales, beside the 42.0 of the teacher that the authors
took from detectron2 (3x). The student is its control, by reference.
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
