"""DML: ResNet-56 and ResNet-20 on CIFAR-100."""

_base_ = ['_base_/dml.py', '_base_/recipe_ie_cifar100.py']
model = _base_.pop('method')
model.peers = dict(
    resnet20=dict(
        cfg='{{ fileDirname }}/baseline_resnet20_ierecipe_cifar100.py'
    ),
    resnet56=dict(
        cfg='{{ fileDirname }}/baseline_resnet56_ierecipe_cifar100.py'
    ),
)
optim_wrapper = dict(constructor='kd_det.PeerOptimWrapperConstructor')
