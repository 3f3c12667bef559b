"""SRRL: ResNet-56 -> ResNet-20 on CIFAR-10, CE for squares."""

_base_ = './srrl_resnet56_resnet20_cifar10.py'
model = dict(distillers=dict(logit=dict(losses=dict(loss_sr=dict(mode='ce')))))
