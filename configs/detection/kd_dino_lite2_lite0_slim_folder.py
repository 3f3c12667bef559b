"""KD on matched queries: slim DINO Lite2 -> Lite0, 8 epochs.

Data and schedule are those of the baseline,
baseline_dino_lite0_slim_folder.py. Train the teacher,
baseline_dino_lite2_slim_folder.py, first.
"""

_base_ = [
    './kd_frcnn_lite2_lite0_slim_folder.py',
    '../_base_/methods/kd_query.py',
]
model = dict(
    teacher=dict(
        cfg='{{ fileDirname }}/baseline_dino_lite2_slim_folder.py',
        ckpt='work_dirs/baseline_dino_lite2_slim_folder/epoch_16.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/baseline_dino_lite0_slim_folder.py'),
    distillers=dict(_delete_=True, **_base_.pop('method').distillers),
)
