"""KD of dense logits: slim GFL R-50 -> R-18 on playing cards, 8 epochs.

Data and schedule are those of the baseline, baseline_gfl_r18_slim_cards.py.
Train the teacher, baseline_gfl_r50_slim_cards.py, first.
"""

_base_ = './kd_retinanet_r50_r18_slim_cards.py'
model = dict(
    teacher=dict(
        cfg='{{ fileDirname }}/baseline_gfl_r50_slim_cards.py',
        ckpt='work_dirs/baseline_gfl_r50_slim_cards/epoch_16.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/baseline_gfl_r18_slim_cards.py'),
)
