"""KD of dense logits: slim GFL R-50 -> R-18 on blood cells, 8 epochs.

Data and schedule are those of the baseline, baseline_gfl_r18_slim_bccd.py.
Train the teacher, baseline_gfl_r50_slim_bccd.py, first.
"""

_base_ = './kd_retinanet_r50_r18_slim_bccd.py'
model = dict(
    teacher=dict(
        cfg='{{ fileDirname }}/baseline_gfl_r50_slim_bccd.py',
        ckpt='work_dirs/baseline_gfl_r50_slim_bccd/epoch_16.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/baseline_gfl_r18_slim_bccd.py'),
)
