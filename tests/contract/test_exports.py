"""The exports have the formats that their tools accept, and match the table."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from click.testing import CliRunner

from bot.cli import cli
from bot.cli.docs import FORMATS
from models.access_patterns import patterns
from models.export import cloudformation, machine, validation, workbench
from models.export.samples import sample_of, samples, stored
from models.measure.probe import own_client
from models.measure.shapes import entity_of
from models.table.connection import TableSettings, settings
from models.table.indexes import INDEXES
from models.table.item import Item, decode
from tests.contract.cli_commands import run
from tests.contract_watch import past_the_models

TYPES = {"S", "N", "B", "SS", "NS", "BS", "M", "L", "BOOL", "NULL"}


def described(client: Any, name: str) -> dict[str, Any]:
    """Return DynamoDB's description of a table, without what differs between any two tables."""
    found = client.describe_table(TableName=name)["Table"]
    return {
        "keys": found["KeySchema"],
        "attributes": sorted(found["AttributeDefinitions"], key=lambda each: each["AttributeName"]),
        "billing": found["BillingModeSummary"]["BillingMode"],
        "stream": found["StreamSpecification"],
        "indexes": sorted(
            (
                {name: each[name] for name in ("IndexName", "KeySchema", "Projection")}
                for each in found["GlobalSecondaryIndexes"]
            ),
            key=lambda each: each["IndexName"],
        ),
        "ttl": {
            name: value
            for name, value in client.describe_time_to_live(TableName=name)["TimeToLiveDescription"].items()
            if name in ("TimeToLiveStatus", "AttributeName")
        },
    }


def create_from(properties: Mapping[str, Any], name: str, client: Any) -> None:
    """Create a table as CloudFormation does from the properties of an AWS::DynamoDB::Table."""
    stream = {"StreamEnabled": True, **properties["StreamSpecification"]}
    direct = ("BillingMode", "KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes")
    assert set(properties) == {*direct, "TableName", "StreamSpecification", "TimeToLiveSpecification"}
    client.create_table(TableName=name, StreamSpecification=stream, **{each: properties[each] for each in direct})
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    client.update_time_to_live(TableName=name, TimeToLiveSpecification=properties["TimeToLiveSpecification"])


@pytest.fixture(scope="module")
def client(table: TableSettings) -> Any:
    return own_client()


def test_cloudformation_creates_the_same_table_as_the_command(table: TableSettings, client: Any) -> None:
    template = cloudformation.template()
    (resource,) = template["Resources"].values()
    assert resource["Type"] == "AWS::DynamoDB::Table"
    assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"
    name = f"{table.name}-cfn"
    create_from(resource["Properties"], name, client)
    try:
        assert described(client, name) == described(client, table.name)
    finally:
        client.delete_table(TableName=name)


class TestWorkbench:
    model = workbench.model()

    def test_has_the_structure_of_the_published_samples(self) -> None:
        assert set(self.model) == {"ModelName", "ModelMetadata", "DataModel"}
        metadata = self.model["ModelMetadata"]
        assert (metadata["Version"], metadata["AWSService"]) == ("3.0", "Amazon DynamoDB")
        assert {"Author", "DateCreated", "DateLastModified", "Description"} <= set(metadata)
        (table,) = self.model["DataModel"]
        assert {
            "TableName",
            "KeyAttributes",
            "NonKeyAttributes",
            "TableFacets",
            "GlobalSecondaryIndexes",
            "TableData",
            "DataAccess",
        } <= set(table)
        assert set(table["KeyAttributes"]) == {"PartitionKey", "SortKey"}
        for key in table["KeyAttributes"].values():
            assert set(key) == {"AttributeName", "AttributeType"}

    def test_every_entity_is_a_facet_with_sample_data(self) -> None:
        (table,) = self.model["DataModel"]
        facets = {facet["FacetName"]: facet for facet in table["TableFacets"]}
        assert set(facets) == set(Item.entities())
        for name, facet in facets.items():
            assert set(facet) == {"FacetName", "KeyAttributeAlias", "TableData", "NonKeyAttributes", "DataAccess"}
            assert set(facet["KeyAttributeAlias"]) == {"PartitionKeyAlias", "SortKeyAlias"}
            assert facet["TableData"], name
            for item in facet["TableData"]:
                assert item in table["TableData"]
                assert set(item) <= {"PK", "SK", *facet["NonKeyAttributes"]}

    def test_items_are_typed_and_their_attributes_declared(self) -> None:
        (table,) = self.model["DataModel"]
        types = {each["AttributeName"]: each["AttributeType"] for each in table["NonKeyAttributes"]}
        assert set(types.values()) <= TYPES
        for item in table["TableData"]:
            for name, value in item.items():
                ((kind, _),) = value.items()
                assert kind == ("S" if name in ("PK", "SK") else types[name])

    def test_indexes_are_those_of_the_table(self) -> None:
        (table,) = self.model["DataModel"]
        assert {each["IndexName"]: each["Projection"] for each in table["GlobalSecondaryIndexes"]} == {
            index.name: index.projection for index in INDEXES
        }
        declared = {each["AttributeName"] for each in table["NonKeyAttributes"]}
        for index in table["GlobalSecondaryIndexes"]:
            for key in index["KeyAttributes"].values():
                assert key["AttributeName"] in declared


class TestSamples:
    def test_every_entity_has_one_that_its_own_models_read(self) -> None:
        for entity in Item.entities().values():
            item = sample_of(entity)
            assert type(decode(stored(item))) is entity
            assert entity_of(stored(item)) is entity

    def test_no_sample_is_hidden(self) -> None:
        assert not [item for item in samples() if item.hidden]


class TestValidation:
    model = validation.model()

    @pytest.fixture
    def filled(self, client: Any) -> Any:
        """The table with exactly the items of the model."""
        name = settings().name
        found = client.scan(TableName=name, ConsistentRead=True)["Items"]
        wanted = {(put["PK"]["S"], put["SK"]["S"]): put for put in self.items}
        for item in found:
            if (item["PK"]["S"], item["SK"]["S"]) not in wanted:
                client.delete_item(TableName=name, Key={key: item[key] for key in ("PK", "SK")})
        for item in wanted.values():
            if item not in found:
                client.put_item(TableName=name, Item=item)
        return client

    @property
    def items(self) -> list[dict[str, Any]]:
        return [put["PutRequest"]["Item"] for put in self.model["items"]["turntable"]]

    def test_has_the_three_sections(self) -> None:
        assert set(self.model) == {"tables", "items", "access_patterns"}
        (table,) = self.model["tables"]
        used = {key["AttributeName"] for key in table["KeySchema"]}
        for index in table["GlobalSecondaryIndexes"]:
            used |= {key["AttributeName"] for key in index["KeySchema"]}
        assert {each["AttributeName"] for each in table["AttributeDefinitions"]} == used

    def test_every_request_of_every_pattern_has_an_implementation(self) -> None:
        found = [(each["pattern"], each["dynamodb_operation"]) for each in self.model["access_patterns"]]
        assert found == [(pattern.id, request.operation) for pattern in patterns() for request in pattern.requests]
        assert all(each["implementation"].startswith("aws dynamodb ") for each in self.model["access_patterns"])

    @pytest.mark.parametrize(
        "entry",
        model["access_patterns"],
        ids=[f"{number}-{each['pattern']}" for number, each in enumerate(model["access_patterns"])],
    )
    def test_the_implementation_returns_what_it_says(self, entry: dict[str, Any], filled: Any) -> None:
        answer = run(filled, entry["implementation"], settings().name)
        says = entry["description"].rpartition(" Returns ")[2]
        counted = re.match(r"(\d+) items?\.", says)
        match entry["dynamodb_operation"]:
            case "GetItem":
                assert answer["Item"] in self.items
            case "BatchGetItem":
                (found,) = answer["Responses"].values()
                assert counted
                assert len(found) == int(counted[1])
            case "Query":
                assert counted
                assert answer["Count"] == int(counted[1]) > 0
            case "UpdateItem":
                assert answer["Attributes"]["touched_by"] == {"S": "validation"}
            case _:
                assert says.startswith("nothing: ")


def test_access_patterns_json_has_every_declaration() -> None:
    found = json.loads(json.dumps(machine.access_patterns()))
    assert [each["id"] for each in found["access_patterns"]] == [pattern.id for pattern in patterns()]
    assert {each["name"] for each in found["entities"]} == set(Item.entities())
    assert {each["name"] for each in found["indexes"]} == {index.name for index in INDEXES}


@pytest.mark.parametrize("kind", FORMATS)
def test_the_command_prints_each_export(kind: str) -> None:
    with past_the_models():
        result = CliRunner().invoke(cli, ["docs", "export", "--format", kind])
    assert result.exit_code == 0
    assert json.loads(result.stdout)
