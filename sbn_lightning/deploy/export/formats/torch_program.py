"""A program of torch.export: for Python and C++ with PyTorch, but without this package."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch

from sbn_lightning.deploy.export.formats.base import Answering, ExportFormat, example, free_dimensions, translated
from sbn_lightning.deploy.export.inference_model import InferenceModel


class TorchProgram(ExportFormat):
    """A file that `torch.export.load(file).module()` loads as a module; the metadata are extra files in it."""

    title = "a torch.export program"
    suffix = ".pt2"

    def write(
        self, model: InferenceModel, image_size: tuple[int, int], metadata: Mapping[str, str], file: IO[Any]
    ) -> None:
        with translated(model, self.title):
            images = example(model, image_size)
            program = torch.export.export(model, (images,), dynamic_shapes=free_dimensions(model), strict=False)
            for node in program.graph_module.graph.nodes:
                node.meta.pop("stack_trace", None)  # with the paths of this machine
            content = io.BytesIO()
            torch.export.save(program, content, extra_files=dict(metadata))
        file.write(content.getbuffer())  # not by torch, which says of a full disk that it is a broken model

    def read(self, file: Path) -> Answering:
        with file.open("rb") as stream:
            return torch.export.load(stream).module()
