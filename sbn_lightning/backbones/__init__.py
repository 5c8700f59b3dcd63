"""Networks that turn images into features.

Every module of this folder is imported here, so that a backbone in a new file is found by its name.
"""

from importlib import import_module
from pkgutil import iter_modules

from sbn_lightning.backbones.base import Backbone
from sbn_lightning.backbones.densenet_bc import DenseNetBC
from sbn_lightning.backbones.lsoftmax_vgg import LSoftmaxVGG
from sbn_lightning.backbones.resnext29 import ResNeXt29
from sbn_lightning.backbones.small_cnn import SmallCNN
from sbn_lightning.backbones.torchvision import VGG16, DenseNet121, ResNet18, ResNet34, ResNet50, ResNeXt50

__all__ = [
    "Backbone", "ResNet18", "ResNet34", "ResNet50", "ResNeXt50", "ResNeXt29", "DenseNet121", "DenseNetBC", "VGG16",
    "LSoftmaxVGG", "SmallCNN",
]  # fmt: skip

for _module in iter_modules(__path__, f"{__name__}."):
    for _name, _kind in vars(import_module(_module.name)).items():
        if isinstance(_kind, type) and issubclass(_kind, Backbone) and not _name.startswith("_"):
            globals()[_name] = _kind
