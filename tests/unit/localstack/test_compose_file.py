"""The compose file: pinned, on the loopback address, with only the services that are used, and the hooks mounted."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from models import schema
from models.table.indexes import key_schema

LOCALSTACK = Path(__file__).parents[3] / "localstack"
HOOKS = LOCALSTACK / "init" / "ready.d"


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    compose = yaml.safe_load((LOCALSTACK / "docker-compose.yml").read_text())
    (only,) = compose["services"].values()
    assert isinstance(only, dict)
    return only


def test_the_image_is_pinned_to_the_last_that_needs_no_token(service: dict[str, Any]) -> None:
    assert service["image"] == "${LOCALSTACK_IMAGE:-localstack/localstack:4.14.0}"


def test_a_token_is_passed_through_for_newer_images(service: dict[str, Any]) -> None:
    assert service["environment"]["LOCALSTACK_AUTH_TOKEN"] == "${LOCALSTACK_AUTH_TOKEN:-}"


def test_every_port_is_on_the_loopback_address(service: dict[str, Any]) -> None:
    assert service["ports"]
    assert all(re.fullmatch(r"127\.0\.0\.1:\S+:4566", port) for port in service["ports"])


def test_only_the_services_that_are_used_are_started(service: dict[str, Any]) -> None:
    assert service["environment"]["SERVICES"].split(",") == ["dynamodb", "dynamodbstreams", "kms", "s3"]


def test_healthy_means_that_the_hooks_have_run(service: dict[str, Any]) -> None:
    assert "/_localstack/init/ready" in service["healthcheck"]["test"][1]


def test_the_hooks_are_mounted_where_localstack_looks_and_cannot_be_changed(service: dict[str, Any]) -> None:
    assert service["volumes"] == ["./init:/etc/localstack/init:ro"]


def test_every_hook_is_executable_and_of_a_kind_that_localstack_runs() -> None:
    hooks = list(HOOKS.iterdir())

    assert hooks
    assert all(os.access(hook, os.X_OK) and hook.suffix in (".py", ".sh") for hook in hooks)


def test_both_ways_of_running_it_start_the_same_services(service: dict[str, Any]) -> None:
    script = (LOCALSTACK / "run.py").read_text()
    shared = {name: value for name, value in service["environment"].items() if "$" not in value}

    assert len(shared) > 3
    assert not [name for name, value in shared.items() if f'"{name}": "{value}"' not in script]


def test_the_hook_makes_exactly_the_table_that_the_models_make(empty_engine_table: dict[str, Any]) -> None:
    declared = json.loads((LOCALSTACK / "init" / "table.json").read_text())

    assert declared["create_table"] == empty_engine_table["CreateTable"]
    assert declared["time_to_live"] == empty_engine_table["UpdateTimeToLive"]


def test_the_file_of_the_hook_can_be_checked_by_hand() -> None:
    root = LOCALSTACK.parent
    checked = subprocess.run(
        [sys.executable, "localstack/table_definition.py", "--check"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )

    assert checked.returncode == 0, checked.stderr


@pytest.fixture
def empty_engine_table(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What goes out when the models make their table, without the table's name."""
    sent: dict[str, Any] = {}

    class Engine:
        """As much of DynamoDB as making a table takes."""

        def create_table(self, **arguments: Any) -> None:
            sent["CreateTable"] = {name: value for name, value in arguments.items() if name != "TableName"}

        def describe_table(self, **_: Any) -> dict[str, Any]:
            return {"Table": {"TableName": "t", **key_schema()}}

        def get_waiter(self, _: str) -> "Engine":
            return self

        def wait(self, **_: Any) -> None:
            return

        def describe_time_to_live(self, **_: Any) -> dict[str, Any]:
            return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}

        def update_time_to_live(self, TableName: str, TimeToLiveSpecification: Any) -> None:  # noqa: N803
            sent["UpdateTimeToLive"] = TimeToLiveSpecification

    monkeypatch.setattr(schema, "client", Engine)
    schema.create_table()
    return sent
