"""ResNet-50 (512) -> ResNet-50 on SOP, without a method."""

_base_ = ['./sop.py', './student_80e.py']
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../triplet_resnet50-512_sop.py',
        ckpt='work_dirs/triplet_resnet50-512_sop/epoch_40.pth',
    ),
    # no loss of its own: the labels are not used
    student=dict(cfg='{{ fileDirname }}/resnet50.py'),
)
train_cfg = dict(max_epochs=120)
param_scheduler = dict(milestones=[39, 79])
train_dataloader = dict(batch_sampler=dict(num_batches=500))
