"""DML: ResNet-56 and ResNet-20 on 480 images of CIFAR-10."""

_base_ = ['_base_/dml.py', '_base_/recipe_short_cifar10.py']
model = _base_.pop('method')
model.peers = dict(
    resnet20=dict(cfg='{{ fileDirname }}/baseline_resnet20_short_cifar10.py'),
    resnet56=dict(cfg='{{ fileDirname }}/baseline_resnet56_short_cifar10.py'),
)
optim_wrapper = dict(constructor='kd_det.PeerOptimWrapperConstructor')
