"""KD++: ResNet-56 -> ResNet-20 on CIFAR-100, the direction alone."""

_base_ = './kdpp_resnet56_resnet20_cifar100.py'
model = _base_.pop('model')
del model.distillers.logit.losses.loss_nd
model.distillers.logit.losses.loss_fdr = dict(
    type='FDRCosineLoss', loss_weight=2.0
)
