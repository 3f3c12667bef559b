"""The pair SSD300 R-50 -> R-18 on VOC, without a method."""

model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../../detection/baseline_ssd300_r50_voc.py',
        ckpt='work_dirs/baseline_ssd300_r50_voc/epoch_24.pth',
    ),
    student=dict(
        cfg='{{ fileDirname }}/../../detection/baseline_ssd300_r18_voc.py'
    ),
)
