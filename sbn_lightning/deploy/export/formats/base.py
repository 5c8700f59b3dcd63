"""What every format of exported files promises."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, ClassVar

import torch
from torch import Tensor
from torch.export import Dim

from sbn_lightning.deploy.export.inference_model import InferenceModel
from sbn_lightning.errors import UsageError, named

HOW_TO_INSTALL = "install what exports need: pip install -e '.[export]' in the folder of sbn-lightning's pyproject.toml"
MOST = 2**31 - 1
"""Of anything that is not limited; older versions of torch need a number."""
Answering = Callable[[Tensor], dict[str, Tensor]]
"""uint8 (N, 3, H, W) -> {"logits", "probabilities"}, both (N, C)."""


class ExportFormat(ABC):
    """A kind of file that holds a model for inference.

    Attributes:
        title: For people.
        suffix: Of its files.
        packages: That writing and reading it need, and sbn itself does not.
    """

    title: ClassVar[str]
    suffix: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ()

    def check_packages(self) -> None:
        """Refuse to start where a package is missing."""
        missing = [package for package in self.packages if find_spec(package) is None]
        if missing:
            text = f"an export to {self.title} needs {named(missing)}, not installed here"
            raise UsageError(f"{text}; {HOW_TO_INSTALL}")

    @abstractmethod
    def write(
        self, model: InferenceModel, image_size: tuple[int, int], metadata: Mapping[str, str], file: IO[Any]
    ) -> None:
        """Write a model.

        Args:
            model: The model.
            image_size: H and W of its images, pixels; where it takes any size, of an example.
            metadata: {name: text}, kept in the file.
            file: Opened for binary writing.

        Raises:
            UsageError: If the model cannot be written in this format.
        """

    @abstractmethod
    def read(self, file: Path) -> Answering:
        """Load a file as its users do, and return what answers."""


def example(model: InferenceModel, image_size: tuple[int, int]) -> Tensor:
    """Two images to trace a model with; where it takes any size, of another one than the model's own."""
    height, width = image_size
    if model.fitted is not None:
        height, width = 2 * height + 1, 2 * width + 3
    return torch.zeros(2, 3, height, width, dtype=torch.uint8)


def free_dimensions(model: InferenceModel) -> dict[str, dict[int, Dim]]:
    """The dimensions of the input that may have any size: N and, if the model resizes images, height and width."""
    free = {0: Dim("batch", min=1, max=MOST)}
    if model.fitted is not None:
        free |= {2: Dim("height", min=2, max=MOST), 3: Dim("width", min=2, max=MOST)}
    return {"images": free}


@contextmanager
def translated(model: InferenceModel, title: str) -> Iterator[None]:
    """Say of a model that torch cannot translate what its user can do. Whether the translation is right is checked
    afterwards, so that torch's hints on the way are not shown."""
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    except (MemoryError, OSError, UsageError):
        raise
    except Exception as error:  # torch raises whatever a model's code leads it to
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        reason = next((line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
        name = type(model.backbone).__name__
        raise UsageError(
            f"PyTorch {torch.__version__} cannot translate this model with its backbone {name} to {title} "
            f"({reason[:200]}); use a newer PyTorch, write a backbone of your own without decisions that "
            "depend on pixels, or choose --format safetensors, which holds the weights alone"
        ) from error
