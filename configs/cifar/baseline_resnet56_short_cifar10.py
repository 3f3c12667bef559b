"""ResNet-56 alone on 480 images of CIFAR-10."""

_base_ = ['_base_/resnet.py', '_base_/recipe_short_cifar10.py']
model = dict(backbone=dict(depth=56), head=dict(num_classes=10, cal_acc=True))
