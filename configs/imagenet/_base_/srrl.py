"""SRRL with the weights of its code, which are those for CIFAR too."""

_base_ = '../../cifar/_base_/srrl.py'
