"""OpenVINO must not tell anybody that it is used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
talked = []
TALK = ("socket.connect", "socket.getaddrinfo")
sys.addaudithook(lambda event, args: talked.append(event) if event in TALK else None)
from answerbox.adapters.silent_openvino import openvino
openvino.convert_model
assert "openvino.tools.ovc.telemetry_stub" in sys.modules
assert not talked, talked
"""


def test_importing_it_opens_no_connection_and_leaves_no_id_in_the_home_folder(tmp_path: Path) -> None:
    clean = {key: value for key, value in os.environ.items() if key not in ("CI", "TF_BUILD", "JENKINS_URL")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**clean, "HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
