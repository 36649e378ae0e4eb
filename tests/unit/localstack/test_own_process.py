"""LocalStack's process is recognised and stopped, however long its command line is and however narrow the terminal."""

import os
import subprocess
import sys
from pathlib import Path

from tests.processes import ROOT


def test_a_long_command_line_on_a_narrow_terminal(tmp_path: Path) -> None:
    waiting = [sys.executable, "-c", "import time; time.sleep(60)", "x" * 200, "localstack.runtime.main"]
    with subprocess.Popen(waiting) as process:
        try:
            (tmp_path / "localstack.pid").write_text(str(process.pid))
            narrow = {**os.environ, "COLUMNS": "20", "LOCALSTACK_HOME": str(tmp_path), "LOCALSTACK_DOCKER": "0"}
            stopped = subprocess.run(
                [sys.executable, "localstack/run.py", "stop"], cwd=ROOT, env=narrow, capture_output=True, text=True
            )

            assert stopped.stdout == "LocalStack has stopped.\n"
            assert process.wait(5) < 0
        finally:
            process.kill()
