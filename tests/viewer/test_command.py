"""The command itself: it serves until it is interrupted."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_serves_at_the_address_it_prints_and_ends_by_an_interrupt(planted, tmp_path):
    line = [sys.executable, "-m", "durian_cli", "view", str(planted), "--no-open", "--json"]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "pipelines")])
    with subprocess.Popen(
        [*line, "--port", "0"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=os.environ | {"PYTHONPATH": paths},
    ) as viewer:  # fmt: skip
        assert viewer.stdout is not None
        said = ""
        while "}" not in said:
            said += viewer.stdout.readline()
        address = json.loads(said)["address"]
        with urllib.request.urlopen(f"{address}api/run", timeout=60) as answer:
            assert json.loads(answer.read())["samples"] == 6
        viewer.send_signal(signal.SIGINT)
        _, complaints = viewer.communicate(timeout=60)
    assert (viewer.returncode, complaints) == (0, "")
