"""IE-DML: ResNet-20 and ResNet-20 on CIFAR-10 in 30 epochs."""

_base_ = ['_base_/iedml.py', '_base_/recipe_short_cifar10.py']
model = _base_.pop('method')
model.peers = dict(
    one=dict(cfg='{{ fileDirname }}/baseline_resnet20_short_cifar10.py'),
    two=dict(cfg='{{ fileDirname }}/baseline_resnet20_short_cifar10.py'),
)
optim_wrapper = dict(constructor='kd_det.PeerOptimWrapperConstructor')
