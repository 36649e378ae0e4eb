"""Writes `init/table.json`, what the ready hook makes, from the project's own declarations.

`python localstack/table_definition.py` writes it; with `--check` it says whether it is up to date.
"""

import json
import sys
from pathlib import Path
from typing import Any

from models.table.indexes import STREAM_VIEW, TTL_ATTRIBUTE, key_schema

FILE = Path(__file__).with_name("init") / "table.json"


def definition() -> dict[str, Any]:
    """Return the arguments of CreateTable, but for the name, and of UpdateTimeToLive."""
    return {
        "create_table": {
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamEnabled": True, "StreamViewType": STREAM_VIEW},
            **key_schema(),
        },
        "time_to_live": {"Enabled": True, "AttributeName": TTL_ATTRIBUTE},
    }


def main() -> None:
    """Write the file, or check it."""
    text = json.dumps(definition(), indent=2) + "\n"
    if "--check" in sys.argv[1:]:
        if not FILE.exists() or FILE.read_text() != text:
            sys.exit(f"{FILE} is not what the models declare; `make localstack-table` writes it.")
    else:
        FILE.write_text(text)


if __name__ == "__main__":
    main()
