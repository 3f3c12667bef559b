"""KD: ViT-B -> ResNet-18 on ImageNet."""

_base_ = ['_base_/kd.py', '_base_/vit-b_resnet18.py']
model = _base_.pop('method')
