"""Conv4 -> Conv4 on Omniglot, 5 shots, without a method."""

_base_ = ['./omniglot_5w5s.py', './distill_omniglot.py']
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../protonet_conv4_5w5s_omniglot.py',
        ckpt='work_dirs/protonet_conv4_5w5s_omniglot/epoch_10.pth',
    ),
    student=dict(cfg='{{ fileDirname }}/../protonet_conv4_5w5s_omniglot.py'),
)
