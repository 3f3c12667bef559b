"""Conv4 -> slim Conv4 on Omniglot, 1 shot, without a method."""

_base_ = ['./omniglot_5w1s.py', './distill_omniglot.py']
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../protonet_conv4_5w1s_omniglot.py',
        ckpt='work_dirs/protonet_conv4_5w1s_omniglot/epoch_10.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/../protonet_conv4s_5w1s_omniglot.py'),
)
