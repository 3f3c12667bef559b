"""Networks of the distillation papers that mmpretrain does not have."""

from kd_det.models.backbones.binary_resnet import BinaryResNet
from kd_det.models.backbones.cifar_mobilenet_v2 import CIFARMobileNetV2
from kd_det.models.backbones.cifar_resnet import CIFARResNet
from kd_det.models.backbones.cifar_resnet50 import CIFARResNet50
from kd_det.models.backbones.cifar_shufflenet_v1 import CIFARShuffleNetV1
from kd_det.models.backbones.cifar_shufflenet_v2 import CIFARShuffleNetV2
from kd_det.models.backbones.cifar_vgg import CIFARVGG
from kd_det.models.backbones.conv4 import Conv4
from kd_det.models.backbones.frozen_backbone import FrozenBackbone
from kd_det.models.backbones.googlenet import GoogLeNet
from kd_det.models.backbones.micro_effnet import MicroEffNet
from kd_det.models.backbones.mobilenet_v1 import MobileNetV1
from kd_det.models.backbones.regnet_y import RegNetY16GF
from kd_det.models.backbones.wrn import WRN

__all__ = [
    'BinaryResNet',
    'CIFARMobileNetV2',
    'CIFARResNet',
    'CIFARResNet50',
    'CIFARShuffleNetV1',
    'CIFARShuffleNetV2',
    'CIFARVGG',
    'Conv4',
    'FrozenBackbone',
    'GoogLeNet',
    'MicroEffNet',
    'MobileNetV1',
    'RegNetY16GF',
    'WRN',
]
