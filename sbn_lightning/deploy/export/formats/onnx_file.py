"""ONNX: the weights and the operations, for onnxruntime and other programs without PyTorch."""

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from sbn_lightning.deploy.export.formats.base import Answering, ExportFormat, example, free_dimensions, translated
from sbn_lightning.deploy.export.inference_model import InferenceModel
from sbn_lightning.errors import UsageError

OPSET, IR_VERSION = 18, 8
"""Of ONNX 1.13: the versions of its operations and of its files, which onnxruntime 1.17 and newer ones read."""
LARGEST = 2 * 10**9
"""Bytes of weights that one ONNX file can hold, a little less than 2 GiB."""
OUTPUTS = ["logits", "probabilities"]


class OnnxFile(ExportFormat):
    """One file, without external data. Input `images`, outputs `logits` and `probabilities`."""

    title = "ONNX"
    suffix = ".onnx"
    packages = ("onnx", "onnxscript", "onnxruntime")

    def write(
        self, model: InferenceModel, image_size: tuple[int, int], metadata: Mapping[str, str], file: IO[Any]
    ) -> None:
        size = sum(tensor.nbytes for tensor in model.state_dict().values())
        if size > LARGEST:
            raise UsageError(
                f"the weights take {size / 1e9:.1f} GB, and an ONNX file holds less than 2 GB; choose --format "
                "torch or --format safetensors"
            )
        import onnx

        with translated(model, self.title):
            program = torch.onnx.export(
                model, (example(model, image_size),), dynamo=True, input_names=["images"], output_names=OUTPUTS,
                dynamic_shapes=free_dimensions(model), opset_version=OPSET, verbose=False,
            )  # fmt: skip
            assert program is not None
            proto = program.model_proto
        for part in [*proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.value_info]:
            part.ClearField("metadata_props")  # lines of source code, with the paths of this machine
            part.ClearField("doc_string")
        proto.ir_version = IR_VERSION  # torch gives a newer one, and uses nothing of it
        onnx.helper.set_model_props(proto, dict(metadata))
        file.write(proto.SerializeToString())

    def read(self, file: Path) -> Answering:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

        def answer(images: Tensor) -> dict[str, Tensor]:
            given = session.run(OUTPUTS, {"images": images.numpy()})
            return {name: torch.from_numpy(values) for name, values in zip(OUTPUTS, given, strict=True)}

        return answer
