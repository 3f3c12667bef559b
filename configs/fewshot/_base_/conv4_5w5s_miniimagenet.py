"""Conv4 -> Conv4 on miniImageNet, 5 shots, without a method."""

_base_ = ['./miniimagenet_5w5s.py', './distill_miniimagenet.py']
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../protonet_conv4_5w5s_miniimagenet.py',
        ckpt='work_dirs/protonet_conv4_5w5s_miniimagenet/epoch_200.pth',
    ),
    student=dict(
        cfg='{{ fileDirname }}/../protonet_conv4_5w5s_miniimagenet.py'
    ),
)
