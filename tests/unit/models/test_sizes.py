"""Sizes and capacity by DynamoDB's rules.

Sources, all of https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/: `CapacityUnitCalculations.html` for
the kinds of value, `ServiceQuotas.html` for the shirt, `read-write-operations.html` for the units.
"""

from typing import Any

import pytest

from models.table.sizes import item_size, read_units, value_size, write_units


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": ""}, 0),
        ({"S": "text"}, 4),
        ({"S": "grün"}, 5),
        ({"S": "😀"}, 4),
        ({"B": b"\x00\x01\x02"}, 3),
        ({"BOOL": False}, 1),
        ({"NULL": True}, 1),
        # One byte for two significant digits, plus one; zeros at either end do not count; a minus sign does.
        ({"N": "0"}, 1),
        ({"N": "7"}, 2),
        ({"N": "42"}, 2),
        ({"N": "123"}, 3),
        ({"N": "-42"}, 3),
        ({"N": "1000000"}, 2),
        ({"N": "0.0025"}, 2),
        ({"N": "1767225600"}, 5),
        ({"N": "1234567890"}, 6),
        # Three bytes for a list or map, even an empty one, and one more for each element.
        ({"L": []}, 3),
        ({"M": {}}, 3),
        ({"L": [{"S": "a"}, {"BOOL": True}]}, 3 + (1 + 1) + (1 + 1)),
        ({"M": {"name": {"S": "Ada"}}}, 3 + (1 + 4 + 3)),
        ({"M": {"a": {"L": [{"N": "1"}]}}}, 3 + (1 + 1 + (3 + (1 + 2)))),
    ],
)
def test_the_size_of_a_value(value: dict[str, Any], size: int) -> None:
    assert value_size(value) == size


def test_an_items_size_is_that_of_its_names_and_values() -> None:
    assert item_size({"shirt-color": {"S": "R"}, "shirt-size": {"S": "M"}}) == 23
    assert item_size({}) == 0


@pytest.mark.parametrize(
    ("sizes", "consistent", "units"),
    [
        ([], True, 1),
        ([], False, 0.5),
        ([1], True, 1),
        ([4096], True, 1),
        ([4097], True, 2),
        ([4096], False, 0.5),
        ([8192], False, 1),
        # The documentation's examples: ten items of 40.8 KB together, and 1,500 items of 64 bytes.
        ([4178] * 10, True, 11),
        ([4178] * 10, False, 5.5),
        ([64] * 1500, True, 24),
        ([64] * 1500, False, 12),
    ],
)
def test_the_read_units_of_a_query(sizes: list[int], consistent: bool, units: float) -> None:
    assert read_units(sizes, consistent=consistent) == units


@pytest.mark.parametrize(("size", "units"), [(0, 1), (1, 1), (1024, 1), (1025, 2), (409_600, 400)])
def test_the_write_units_of_an_item(size: int, units: int) -> None:
    assert write_units(size) == units
