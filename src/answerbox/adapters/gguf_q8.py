"""A GGUF file with other blocks: every matrix as Q8_0, 32 weights with one scale (GGML's formats, `gguf` package)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType, dequantize, quantize

ARCHITECTURE = "general.architecture"
OWN_OF_THE_WRITER = (ARCHITECTURE, "general.file_type")
Q8_0 = GGMLQuantizationType.Q8_0


def write_q8(source: Path, target: Path) -> None:
    """Writes `source` again with its matrices as Q8_0; vectors and everything that is said of the model stay."""
    reader = GGUFReader(source)
    writer = GGUFWriter(target, str(reader.fields[ARCHITECTURE].contents()))
    writer.add_file_type(LlamaFileType.MOSTLY_Q8_0)
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key not in OWN_OF_THE_WRITER:
            kind, *inner = field.types
            sub_type = inner[-1] if kind == GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), kind, sub_type=sub_type)
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        if tensor.tensor_type == GGMLQuantizationType.F32:
            writer.add_tensor(tensor.name, values)
        else:
            writer.add_tensor(tensor.name, quantize(values, Q8_0), raw_dtype=Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
