"""The datasets, one file each. All are imported here, so that a config can name each class without its module."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)
