"""ResNet-50 (512) -> GoogLeNet on CUB-200, without a method."""

_base_ = './resnet50_cub200.py'
model = dict(student=dict(cfg='{{ fileDirname }}/googlenet.py'))
