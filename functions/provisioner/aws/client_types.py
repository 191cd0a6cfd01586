"""The types of the AWS clients and of what they return, for whoever checks types.

`types-boto3` is no part of the deployed functions, and Python reads the right side of a `type`
statement only when it is asked for: importing these names costs a function's start next to nothing.
"""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import types_boto3_dynamodb.type_defs
    import types_boto3_ec2
    import types_boto3_events.type_defs
    import types_boto3_kms.type_defs
    import types_boto3_lambda.type_defs
    import types_boto3_resourcegroupstaggingapi.type_defs
    import types_boto3_s3
    import types_boto3_secretsmanager
    import types_boto3_sqs.type_defs
    import types_boto3_stepfunctions

type Service = Literal[
    "dynamodb",
    "ec2",
    "events",
    "kms",
    "lambda",
    "resourcegroupstaggingapi",
    "s3",
    "secretsmanager",
    "sqs",
    "stepfunctions",
]
"""The services that the functions call, by botocore's names."""

type DynamoDBClient = types_boto3_dynamodb.DynamoDBClient
type EC2Client = types_boto3_ec2.EC2Client
type EventBridgeClient = types_boto3_events.EventBridgeClient
type KMSClient = types_boto3_kms.KMSClient
type LambdaClient = types_boto3_lambda.LambdaClient
type S3Client = types_boto3_s3.S3Client
type SecretsManagerClient = types_boto3_secretsmanager.SecretsManagerClient
type SFNClient = types_boto3_stepfunctions.SFNClient
type SQSClient = types_boto3_sqs.SQSClient
type TaggingClient = types_boto3_resourcegroupstaggingapi.ResourceGroupsTaggingAPIClient
type Client = (
    DynamoDBClient
    | EC2Client
    | EventBridgeClient
    | KMSClient
    | LambdaClient
    | S3Client
    | SecretsManagerClient
    | SFNClient
    | SQSClient
    | TaggingClient
)

type AttributeValue = types_boto3_dynamodb.type_defs.AttributeValueTypeDef
"""A value as DynamoDB has it, such as `{"S": "text"}`."""
type KeysToRead = (
    types_boto3_dynamodb.type_defs.KeysAndAttributesTypeDef
    | types_boto3_dynamodb.type_defs.KeysAndAttributesOutputTypeDef
)
"""Keys for BatchGetItem, and those that it left out."""
type EventEntry = types_boto3_events.type_defs.PutEventsRequestEntryTypeDef
type KeyMetadata = types_boto3_kms.type_defs.KeyMetadataTypeDef
"""What KMS says of a key: https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html"""
type RotationsListEntry = types_boto3_kms.type_defs.RotationsListEntryTypeDef
"""One of a key's materials:
https://docs.aws.amazon.com/kms/latest/APIReference/API_RotationsListEntry.html"""
type Message = types_boto3_sqs.type_defs.MessageTypeDef
type InvocationResponse = types_boto3_lambda.type_defs.InvocationResponseTypeDef
type KeyTag = types_boto3_kms.type_defs.TagTypeDef
type TagFilter = types_boto3_resourcegroupstaggingapi.type_defs.TagFilterTypeDef
type TaggedPage = types_boto3_resourcegroupstaggingapi.type_defs.GetResourcesOutputTypeDef
