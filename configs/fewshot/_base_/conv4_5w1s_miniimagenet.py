"""Conv4 -> Conv4 on miniImageNet, 1 shot, without a method."""

_base_ = ['./miniimagenet_5w1s.py', './distill_miniimagenet.py']
model = dict(
    _scope_='kd_det',
    type='DistillModel',
    teacher=dict(
        cfg='{{ fileDirname }}/../protonet_conv4_5w1s_miniimagenet.py',
        ckpt='work_dirs/protonet_conv4_5w1s_miniimagenet/epoch_200.pth',
    ),
    student=dict(
        cfg='{{ fileDirname }}/../protonet_conv4_5w1s_miniimagenet.py'
    ),
)
