"""The CloudFormation template of the table that `bot table create` creates."""

from typing import Any

from models.table.indexes import STREAM_VIEW, TTL_ATTRIBUTE, key_schema


def template() -> dict[str, Any]:
    """Return the template. The table is kept when its stack is deleted."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Turntable: every turn of every conversation, on one DynamoDB table.",
        "Parameters": {
            "TableName": {"Type": "String", "Default": "turntable", "Description": "BOT_TABLE_NAME of the application"}
        },
        "Resources": {
            "Table": {
                "Type": "AWS::DynamoDB::Table",
                "DeletionPolicy": "Retain",
                "UpdateReplacePolicy": "Retain",
                "Properties": {
                    "TableName": {"Ref": "TableName"},
                    "BillingMode": "PAY_PER_REQUEST",
                    **key_schema(),
                    "StreamSpecification": {"StreamViewType": STREAM_VIEW},
                    "TimeToLiveSpecification": {"AttributeName": TTL_ATTRIBUTE, "Enabled": True},
                },
            }
        },
        "Outputs": {
            "TableName": {"Value": {"Ref": "Table"}},
            "TableArn": {"Value": {"Fn::GetAtt": ["Table", "Arn"]}},
            "StreamArn": {"Value": {"Fn::GetAtt": ["Table", "StreamArn"]}},
        },
    }
