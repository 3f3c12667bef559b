"""SDD's schedule on CUB-200: that of `cifar_240e.py`, batches of 64.

SDD uses 0.01 for ShuffleNets and MobileNetV2.
"""

_base_ = './cifar_240e.py'
