"""KD of RoI logits: slim Faster R-CNN R-50 -> R-18 on cards, 8 epochs."""

_base_ = './kd_frcnn_r50_r18_slim_bccd.py'
data_root = 'data/cards/'
classes = ('ace', 'jack', 'king', 'nine', 'queen', 'ten')
model = dict(
    teacher=dict(
        cfg='{{ fileDirname }}/baseline_frcnn_r50_slim_cards.py',
        ckpt='work_dirs/baseline_frcnn_r50_slim_cards/epoch_16.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/baseline_frcnn_r18_slim_cards.py'),
)
