"""OpenVINO without its telemetry: import it from here only.

`import openvino` tells Google Analytics of itself and puts a client's id into the home folder, unless its package
`openvino_telemetry` cannot be imported; then it does with a stub of its own.
"""

import sys

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino  # noqa: E402
import openvino_genai as genai  # noqa: E402

__all__ = ["genai", "openvino"]
