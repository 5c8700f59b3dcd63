"""The classes of all heads: one in a new file in heads/ is found."""

from sbn_lightning import heads
from sbn_lightning.heads import Head

HEAD_CLASSES: dict[str, type[Head]] = {
    name: kind
    for name, kind in vars(heads).items()
    if isinstance(kind, type) and issubclass(kind, Head) and kind is not Head
}
