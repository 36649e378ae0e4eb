"""What CI leaves out on LocalStack is named, is there, and runs on the embedded engine."""

from tests.engine_neutral import ROOT, paths


def test_each_file_exists_and_has_a_reason() -> None:
    assert [path for path, reason in paths().items() if not path.is_file() or not reason] == []


def test_conformance_and_most_of_the_models_run_on_every_engine() -> None:
    models = set((ROOT / "tests/integration/models").glob("test_*.py"))
    assert len(models - paths().keys()) >= 20
    assert not any("conformance" in path.parts or "localstack" in path.parts for path in paths())
