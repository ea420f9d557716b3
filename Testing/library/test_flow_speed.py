"""The flow is no slower than FrEIA's; the benchmark itself runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "flow.py"


@pytest.mark.slow
def test_step_and_inverse_are_no_slower_than_freia(tmp_path):
    out = tmp_path / "flow.json"
    command = [sys.executable, str(BENCHMARK), "--out", str(out), "--repeats", "21"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    figures = json.loads(out.read_text())
    assert figures["step, fused Adam"]["ratio"] <= 1.05
    assert figures["inverse, a condition each"]["ratio"] <= 1.05
