"""What the template promises and no run of the local stack can show."""

import json
import re
from typing import Any

import pytest

from tests.support.template import load_template

TEMPLATE = load_template()
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
ROLES = {name: r["Properties"] for name, r in RESOURCES.items() if r["Type"] == "AWS::IAM::Role"}


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {name: r["Properties"] for name, r in RESOURCES.items() if r["Type"] == kind}


# API Gateway documents no source condition for the role that it writes logs with.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html
@pytest.mark.parametrize("name", sorted(ROLES.keys() - {"ApiGatewayLogsRole"}))
def test_a_service_assumes_a_role_for_this_account_only(name: str) -> None:
    (statement,) = ROLES[name]["AssumeRolePolicyDocument"]["Statement"]

    assert statement["Condition"]["StringEquals"]["aws:SourceAccount"] == {"Ref": "AWS::AccountId"}


def test_the_role_of_the_accounts_setting_has_no_condition_that_nobody_documents() -> None:
    (statement,) = ROLES["ApiGatewayLogsRole"]["AssumeRolePolicyDocument"]["Statement"]

    assert statement.keys() == {"Effect", "Principal", "Action"}


def test_the_accounts_setting_is_left_alone_and_stays_whole_when_the_stack_goes() -> None:
    setting, role = RESOURCES["ApiGatewayAccount"], RESOURCES["ApiGatewayLogsRole"]

    assert TEMPLATE["Parameters"]["ApiLogsRole"]["Default"] == "false"
    assert setting["Properties"]["CloudWatchRoleArn"] == {"Fn::GetAtt": "ApiGatewayLogsRole.Arn"}
    for resource in (setting, role):
        assert resource["Condition"] == "ApiLogsRole"
        assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"


def test_no_log_group_has_a_name_that_the_next_deployment_has_again() -> None:
    groups = of_type("AWS::Logs::LogGroup")
    named = {
        name: group["LogGroupName"] for name, group in groups.items() if "LogGroupName" in group
    }

    ((name, given),) = named.items()
    _, parts = given["Fn::Sub"]
    assert name == "WorkflowLogs"
    assert parts["Id"] == {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}


def test_every_asynchronous_hop_has_a_dead_letter_queue() -> None:
    functions = of_type("AWS::Serverless::Function")
    hops = [
        target for rule in of_type("AWS::Events::Rule").values() for target in rule["Targets"]
    ] + [
        event["Properties"]
        for function in functions.values()
        for event in function.get("Events", {}).values()
        if event["Type"] in ("EventBridgeRule", "Schedule")
    ]
    invoked = [
        function
        for function in functions.values()
        if any(
            e["Type"] in ("EventBridgeRule", "Schedule")
            for e in function.get("Events", {}).values()
        )
    ]

    # The sweep starts its workers and does not wait for them.
    invoked.append(functions["SweepRegionFunction"])

    assert len(hops) == 8
    assert all("DeadLetterConfig" in hop for hop in hops)
    assert len(invoked) == 4
    assert all("DeadLetterQueue" in function for function in invoked)


def test_everything_that_refers_to_the_requests_table_can_refer_to_an_earlier_one() -> None:
    text = json.dumps(TEMPLATE)
    reference = r'\{"(Ref|Fn::GetAtt)": "RequestsTable(\.Arn)?"\}'
    in_choice = r'"Fn::If": \["MakesRequestsTable", ' + reference

    assert RESOURCES["RequestsTable"]["Condition"] == "MakesRequestsTable"
    assert len(re.findall(reference, text)) == len(re.findall(in_choice, text)) > 0
    assert "${RequestsTable" not in text


def test_rules_of_this_account_alone_fill_the_queues() -> None:
    (policy,) = of_type("AWS::SQS::QueuePolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]

    assert {queue["Ref"] for queue in policy["Queues"]} == of_type("AWS::SQS::Queue").keys()
    assert {arn["Fn::GetAtt"] for arn in statement["Resource"]} == {
        f"{queue}.Arn" for queue in of_type("AWS::SQS::Queue")
    }
    assert statement["Condition"].keys() == {"StringEquals", "ArnLike"}


def test_what_is_kept_is_encrypted_and_the_record_is_not_deleted_by_accident() -> None:
    for table in of_type("AWS::DynamoDB::Table").values():
        assert table["SSESpecification"]["SSEEnabled"] is True
        assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    for queue in of_type("AWS::SQS::Queue").values():
        assert queue["SqsManagedSseEnabled"] is True
    for group in of_type("AWS::Logs::LogGroup").values():
        assert group["RetentionInDays"] == {"Ref": "LogRetentionInDays"}
    assert RESOURCES["RequestsTable"]["DeletionPolicy"] == "Retain"
    assert RESOURCES["RequestsTable"]["Properties"]["DeletionProtectionEnabled"] is True


def test_no_answer_at_deployment_changes_what_the_package_was_built_for() -> None:
    assert TEMPLATE["Globals"]["Function"]["Architectures"] == ["arm64"]
    for function in of_type("AWS::Serverless::Function").values():
        assert "Architectures" not in function


@pytest.mark.parametrize("kind", ["BAD_REQUEST_BODY", "DEFAULT_4XX", "DEFAULT_5XX"])
def test_the_gateway_refuses_in_the_shape_of_the_code(kind: str) -> None:
    response = RESOURCES["KeysApi"]["Properties"]["GatewayResponses"][kind]
    template = response["ResponseTemplates"]["application/json"]

    answer = json.loads(template.replace("$context.error.messageString", '"Forbidden"'))

    (error,) = answer["errors"]
    assert error.keys() == {"path", "code", "message"}


def test_the_workflow_logs_no_data() -> None:
    logging = RESOURCES["ProvisionKey"]["Properties"]["Logging"]

    assert (logging["Level"], logging["IncludeExecutionData"]) == ("ALL", False)
