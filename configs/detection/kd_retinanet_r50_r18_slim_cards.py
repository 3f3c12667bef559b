"""KD of dense logits: slim RetinaNet R-50 -> R-18 on playing cards, 8 epochs.

Data and schedule are those of the baseline,
baseline_retinanet_r18_slim_cards.py. Train the teacher,
baseline_retinanet_r50_slim_cards.py, first.
"""

_base_ = './kd_retinanet_r50_r18_slim_bccd.py'
data_root = 'data/cards/'
classes = ('ace', 'jack', 'king', 'nine', 'queen', 'ten')
model = dict(
    teacher=dict(
        cfg='{{ fileDirname }}/baseline_retinanet_r50_slim_cards.py',
        ckpt='work_dirs/baseline_retinanet_r50_slim_cards/epoch_16.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/baseline_retinanet_r18_slim_cards.py'),
)
