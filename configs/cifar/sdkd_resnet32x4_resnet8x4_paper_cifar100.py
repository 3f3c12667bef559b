"""SD-KD: ResNet-32x4 -> ResNet-8x4 on CIFAR-100, as in the paper."""

_base_ = './sdkd_resnet32x4_resnet8x4_cifar100.py'
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='kd_det.LossScheduleHook',
        schedules=dict(
            logit=dict(loss_sdd=dict(type='WarmUp', epochs=30, origin=1))
        ),
    ),
]
model = dict(
    distillers=dict(logit=dict(losses=dict(loss_sdd=dict(split='paper'))))
)
