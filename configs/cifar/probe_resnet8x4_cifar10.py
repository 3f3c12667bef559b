"""Linear probe on CIFAR-10: the features of a ResNet-8x4 of CIFAR-100.

Only a new head trains, on the features of SRRL's student, whose checkpoint
`trained` names; any ResNet-8x4 will do. Images are normalised as those of
CIFAR-100, which the backbone knows. The schedule is ours: 60 epochs at 0.05,
divided by 10 after 30 and 45, without weight decay.
"""

_base_ = ['_base_/resnet.py', '_base_/recipe_cifar10.py']
trained = 'work_dirs/srrl_resnet32x4_resnet8x4_cifar100/epoch_240.pth'
data_preprocessor = dict(
    mean=[255 * 0.5071, 255 * 0.4867, 255 * 0.4408],
    std=[255 * 0.2675, 255 * 0.2565, 255 * 0.2761],
)
model = dict(
    backbone=dict(
        _delete_=True,
        type='kd_det.FrozenBackbone',
        backbone=dict(
            type='kd_det.CIFARResNet',
            depth=8,
            widths=(32, 64, 128, 256),
            init_cfg=dict(
                type='Pretrained', prefix='backbone.', checkpoint=trained
            ),
        ),
    ),
    head=dict(num_classes=10, in_channels=256),
)
train_cfg = dict(max_epochs=60)
param_scheduler = dict(milestones=[30, 45])
optim_wrapper = dict(optimizer=dict(weight_decay=0.0))
