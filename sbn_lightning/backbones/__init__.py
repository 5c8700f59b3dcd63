"""Networks that turn images into features."""

from sbn_lightning.backbones.base import Backbone
from sbn_lightning.backbones.lsoftmax_vgg import LSoftmaxVGG
from sbn_lightning.backbones.small_cnn import SmallCNN
from sbn_lightning.backbones.torchvision import VGG16, ResNet18, ResNet34, ResNet50

__all__ = ["Backbone", "ResNet18", "ResNet34", "ResNet50", "VGG16", "LSoftmaxVGG", "SmallCNN"]
