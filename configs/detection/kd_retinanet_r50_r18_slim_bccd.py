"""KD of dense logits: slim RetinaNet R-50 -> R-18 on blood cells, 8 epochs.

Data and schedule are those of the baseline,
baseline_retinanet_r18_slim_bccd.py. Train the teacher,
baseline_retinanet_r50_slim_bccd.py, first.
"""

_base_ = [
    './kd_frcnn_r50_r18_slim_bccd.py',
    '../_base_/methods/kd_dense.py',
]
model = dict(
    teacher=dict(
        cfg='{{ fileDirname }}/baseline_retinanet_r50_slim_bccd.py',
        ckpt='work_dirs/baseline_retinanet_r50_slim_bccd/epoch_16.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/baseline_retinanet_r18_slim_bccd.py'),
    distillers=dict(_delete_=True, **_base_.pop('method').distillers),
)
