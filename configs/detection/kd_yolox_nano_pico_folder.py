"""KD of dense logits from a COCO-trained YOLOX-nano to half its width.

The teacher is a public network: put its file, for MMDetection's
`yolox_nano_8xb8-300e_coco`, where `ckpt` says. Set `data_root` and `classes`
for a COCO-layout folder; classes that COCO has, by name, are distilled.
"""

_base_ = [
    './baseline_yolox_pico_folder.py',
    '../_base_/methods/kd_dense.py',
    '../_base_/distill_hooks.py',
]
model = dict(
    _delete_=True,
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/baseline_yolox_nano_folder.py',
        ckpt='data/teachers/yolox_nano_coco.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/baseline_yolox_pico_folder.py'),
    distillers=_base_.pop('method').distillers,
)
custom_hooks = [*_base_.pop('distill_hooks'), *_base_.custom_hooks]
