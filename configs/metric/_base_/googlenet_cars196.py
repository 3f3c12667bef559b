"""ResNet-50 (512) -> GoogLeNet on Cars-196, without a method."""

_base_ = './resnet50_cars196.py'
model = dict(student=dict(cfg='{{ fileDirname }}/googlenet.py'))
