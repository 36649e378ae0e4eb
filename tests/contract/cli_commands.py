"""Runs AWS CLI commands for DynamoDB with boto3: an option is the parameter with the same name."""

import json
import shlex
from typing import Any

_FLAGS = {
    "consistent-read": ("ConsistentRead", True),
    "no-consistent-read": ("ConsistentRead", False),
    "scan-index-forward": ("ScanIndexForward", True),
    "no-scan-index-forward": ("ScanIndexForward", False),
}


def run(client: Any, command: str, table: str) -> dict[str, Any]:
    """Run a command against `table`, whatever table it names; return the response."""
    program, service, operation, *words = shlex.split(command)
    assert (program, service) == ("aws", "dynamodb")
    parameters: dict[str, Any] = {}
    while words:
        option = words.pop(0).removeprefix("--")
        if option in _FLAGS:
            name, value = _FLAGS[option]
        else:
            name, value = "".join(map(str.capitalize, option.split("-"))), words.pop(0)
        parameters[name] = value
    shapes = client.meta.service_model.operation_model(_pascal(operation)).input_shape.members
    for name, value in parameters.items():
        kind = shapes[name].type_name
        if isinstance(value, str) and kind in ("structure", "map", "list"):
            parameters[name] = json.loads(value.replace('"turntable"', json.dumps(table)))
        elif kind == "integer":
            parameters[name] = int(value)
    if "TableName" in parameters:
        parameters["TableName"] = table
    answer: dict[str, Any] = getattr(client, operation.replace("-", "_"))(**parameters)
    return answer


def _pascal(operation: str) -> str:
    return "".join(map(str.capitalize, operation.split("-")))
