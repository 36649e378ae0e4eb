"""The guide to adding an access pattern works: this follows it to the letter on a copy."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "table" / "add-a-pattern.md"
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "site", "node_modules", "cdk.out")
_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)
BOT = [sys.executable, "-c", "import sys; from bot.cli import main; sys.exit(main())"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the repository, without environments and build output."""
    return Path(shutil.copytree(ROOT, tmp_path / "copy", ignore=LEFT_OUT))


def run(command: str, copy: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the guide in the copy, with this environment's Python and the copy's code."""
    program, *arguments = shlex.split(command)
    words = {"bot": BOT, "python": [sys.executable]}[program]
    path = os.pathsep.join([str(copy), str(copy / "src")])
    environment = {**os.environ, "PYTHONPATH": path, "BOT_DATA_DIR": str(copy / ".turntable")}
    environment.pop("PYTEST_XDIST_WORKER", None)
    return subprocess.run([*words, *arguments], cwd=copy, env=environment, capture_output=True, text=True, check=False)


def steps() -> list[tuple[str | None, str]]:
    """Return the steps of the guide: code with its file, and commands."""
    found = [
        (title or None, text) for kind, title, text in _BLOCK.findall(GUIDE.read_text()) if kind in ("python", "bash")
    ]
    assert [bool(title) for title, _ in found] == [True, True, False, False, False]
    return found


@pytest.mark.timeout(600)
def test_the_guide_adds_a_pattern(copy: Path) -> None:
    declare, scenario, measure, write, test = steps()
    for title, text in (declare, scenario):
        if title == scenario[0]:
            # Without its scenario, nothing runs the new pattern, which is an error.
            result = run("bot patterns measure --local --messages 10 --only AP-49", copy)
            assert result.returncode == 1
            assert "AP-49 is never run" in result.stderr
        assert title
        with (copy / title).open("a", encoding="utf-8") as file:
            file.write("\n\n" + text)
    for _, command in (measure, write):
        result = run(command.strip(), copy)
        assert result.returncode == 0, result.stdout + result.stderr
    assert "AP-49  Newest message" in run("bot patterns list", copy).stdout
    assert (copy / "docs" / "table" / "patterns" / "ap-49.md").exists()
    result = run(f"{test[1].strip()} -q -p no:cacheprovider --deselect tests/contract/test_guide.py", copy)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_guides_code_passes_the_repositorys_checks() -> None:
    for title, text in steps():
        if title:
            result = subprocess.run(
                [sys.executable, "-m", "ruff", "format", "--check", "--stdin-filename", title, "-"],
                input=text,
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            assert result.returncode == 0, result.stderr
