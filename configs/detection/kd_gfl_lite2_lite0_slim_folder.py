"""KD of dense logits: slim GFL Lite2 -> Lite0, 8 epochs.

Data and schedule are those of the baseline,
baseline_gfl_lite0_slim_folder.py. Train the teacher,
baseline_gfl_lite2_slim_folder.py, first.
"""

_base_ = [
    './kd_frcnn_lite2_lite0_slim_folder.py',
    '../_base_/methods/kd_dense.py',
]
model = dict(
    teacher=dict(
        cfg='{{ fileDirname }}/baseline_gfl_lite2_slim_folder.py',
        ckpt='work_dirs/baseline_gfl_lite2_slim_folder/epoch_16.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/baseline_gfl_lite0_slim_folder.py'),
    distillers=dict(_delete_=True, **_base_.pop('method').distillers),
)
