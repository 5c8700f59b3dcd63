"""The formats of exported files; a new one is a file here, and an entry in FORMATS."""

from sbn_lightning.deploy.export.formats.base import ExportFormat
from sbn_lightning.deploy.export.formats.onnx_file import OnnxFile
from sbn_lightning.deploy.export.formats.safetensors_file import SafetensorsFile, open_safetensors
from sbn_lightning.deploy.export.formats.torch_program import TorchProgram

__all__ = ["ExportFormat", "FORMATS", "open_safetensors"]

FORMATS: dict[str, ExportFormat] = {"onnx": OnnxFile(), "torch": TorchProgram(), "safetensors": SafetensorsFile()}
"""{name: format}."""
