"""SDD's schedule for CUB-200: that of `cifar_240e.py`, batch size 64.

SDD uses 0.01 for ShuffleNets and MobileNetV2.
"""

_base_ = './cifar_240e.py'
