"""Builds the classes that a checkpoint names; a checkpoint of unknown origin can choose nothing else.

Only a subclass of Backbone or Head that has been imported already is built. Its arguments are plain data, or again such
classes. A text is never taken for a class, a function or a file, and nothing is imported.
"""

import sys
from collections.abc import Mapping
from functools import partial
from itertools import accumulate, takewhile
from typing import Any

from torch import nn

from sbn_lightning.errors import UsageError

PACKAGE = "sbn_lightning"
ARGUMENTS = ("init_args", "dict_kwargs")
"""The keys beside class_path at which jsonargparse writes a class's arguments."""


class StoredClasses:
    """What the model's arguments in a checkpoint may name.

    Args:
        file: The checkpoint, for messages.
        backbone, head: The base classes.
    """

    def __init__(self, file: object, backbone: type[nn.Module], head: type[nn.Module]) -> None:
        self.file, self.backbone, self.head = file, backbone, head

    def build(self, value: Any, key: str) -> Any:
        """Return plain data as it is, and in the place of each class that it names what `module` returns."""
        if isinstance(value, Mapping):
            if "class_path" in value:
                return self.module(value, key)
            return {name: self.build(entry, f"{key}.{name}") for name, entry in value.items()}
        if isinstance(value, list | tuple):
            return [self.build(entry, f"{key}[{number}]") for number, entry in enumerate(value)]
        return value

    def module(self, value: Any, key: str) -> Any:
        """Build a class from its class_path and init_args.

        A head needs the numbers of features and classes: without them it becomes a function of the two.

        Raises:
            UsageError: If the value names anything but an imported subclass of Backbone or Head, or the class refuses
                its arguments.
        """
        is_named = isinstance(value, Mapping)
        settings: list[Any] = [value.get(part) or {} for part in ARGUMENTS] if is_named else []
        if not is_named or not all(
            isinstance(part, Mapping) and all(isinstance(name, str) for name in part) for part in settings
        ):
            raise UsageError(f"{self.file} does not name {key} as a class_path with its init_args")
        kind = self._class_at(value.get("class_path"), key)
        arguments = {name: self.build(entry, f"{key}.{name}") for part in settings for name, entry in part.items()}
        if issubclass(kind, self.head) and "num_features" not in arguments:
            return partial(kind, **arguments)
        try:
            return kind(**arguments)
        except Exception as error:
            raise self.unfit(key, error) from error

    def _class_at(self, path: Any, key: str) -> type[nn.Module]:
        bases = (self.backbone, self.head)
        found = imported_class(path, bases) if isinstance(path, str) else None
        if found is None:
            names, named = " or ".join(base.__name__ for base in bases), repr(path)[:100]
            raise UsageError(
                f"{self.file} names {named} as {key}, which is not an imported subclass of {names}; a class of your "
                "own is found once you have imported its module"
            )
        return found

    def unfit(self, key: str, error: Exception) -> UsageError:
        """Return the error for a class that refuses the arguments in the checkpoint."""
        lines = str(error).split("\n", 2)[:2]  # torch's second line names the weights
        reason = " ".join(" ".join(lines).split())[:300] or type(error).__name__
        return UsageError(f"{self.file} holds arguments that do not fit {key}: {reason}")


def imported_class(path: str, bases: tuple[type, ...]) -> Any:
    """Return the subclass of one of the bases to which a dotted path leads, or None if none is imported there.

    This package re-exports its classes only when they are used (`sbn_lightning.SoftmaxHead`), so that these are looked
    for among the imported subclasses.
    """
    module, _, name = path.rpartition(".")
    found: Any = None
    if module == PACKAGE:
        own = (kind for base in bases for kind in subclasses(base) if kind.__module__.startswith(f"{PACKAGE}."))
        found = next((kind for kind in own if kind.__name__ == name), None)
    parts = path.split(".")
    prefixes = accumulate(parts, "{}.{}".format)
    modules = list(takewhile(sys.modules.__contains__, prefixes))  # a package is imported before the modules in it
    if found is None and modules:
        found = sys.modules[modules[-1]]
        for part in parts[len(modules) :]:
            found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found if isinstance(found, type) and issubclass(found, bases) else None


def subclasses(base: type) -> set[type]:
    """Return all subclasses that have been imported."""
    direct: set[type] = set(base.__subclasses__())
    return direct.union(*map(subclasses, direct))
