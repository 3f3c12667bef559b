"""ResNet-50 (512) -> GoogLeNet on SOP, without a method."""

_base_ = './resnet50_sop.py'
model = dict(student=dict(cfg='{{ fileDirname }}/googlenet.py'))
