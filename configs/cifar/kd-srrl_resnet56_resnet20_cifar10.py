"""KD and SRRL: ResNet-56 -> ResNet-20 on CIFAR-10.

KD has the temperature and the weight of SimKD's code beside SRRL.
"""

_base_ = './srrl_resnet56_resnet20_cifar10.py'
model = dict(
    distillers=dict(
        logit=dict(
            losses=dict(loss_kd=dict(type='KDLoss', tau=4.0, loss_weight=1.0))
        )
    )
)
