"""KD++: ResNet-56 -> ResNet-20 on CIFAR-100, SIFN for ND.

SIFN acts on the norm alone. The weight is ours: at a teacher's norm of 10 it
pulls as ND does, see docs/methods/nd.md.
"""

_base_ = './kdpp_resnet56_resnet20_cifar100.py'
model = _base_.pop('model')
del model.distillers.logit.centroids
del model.distillers.logit.losses.loss_nd
model.distillers.logit.losses.loss_sifn = dict(
    type='SIFNLoss', loss_weight=0.1
)
