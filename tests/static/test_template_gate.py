"""The template after SAM's transform: every rule holds, and every rule finds a planted fault."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support import template_gate as gate
from tests.support.asl import TEMPLATE, Json
from tests.support.template_gate import EXPLAINED, RULES, Rule, broken, transformed

Resources = dict[str, Json]


@pytest.fixture(scope="module")
def whole() -> Json:
    """The template as it is, transformed."""
    return transformed(TEMPLATE)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Rule, whole: Json) -> None:
    assert [breach for breach in rule(whole) if breach not in EXPLAINED] == []


def test_every_explanation_has_its_breach(whole: Json) -> None:
    assert EXPLAINED.keys() <= {breach for rule in RULES for breach in rule(whole)}


def may(resources: Resources, action: str, resource: str) -> None:
    statement = {"Sid": "Planted", "Effect": "Allow", "Action": action, "Resource": resource}
    properties(resources, "FetchFunction")["Policies"][0]["Statement"].append(statement)


def properties(resources: Resources, name: str) -> Json:
    found = resources[name]["Properties"]
    assert isinstance(found, dict)
    return found


def variable(resources: Resources, name: str, value: object) -> None:
    properties(resources, "FetchFunction")["Environment"]["Variables"][name] = value


def policy_statement(resources: Resources, name: str) -> Json:
    statement = properties(resources, name)["PolicyDocument"]["Statement"][0]
    assert isinstance(statement, dict)
    return statement


# Name of a planted fault, the rule that finds it, and the change.
FAULTS: list[tuple[str, Rule, Callable[[Resources], object]]] = [
    (
        "admin policy",
        gate.no_role_may_do_everything,
        lambda r: properties(r, "FetchFunction")["Policies"].append("AdministratorAccess"),
    ),
    ("every action", gate.no_role_may_do_everything, lambda r: may(r, "*", "Topic")),
    ("every action of a service", gate.no_role_may_do_everything, lambda r: may(r, "s3:*", "Topic")),
    ("every resource", gate.no_role_may_do_everything, lambda r: may(r, "s3:GetObject", "*")),
    ("every bucket", gate.no_role_may_do_everything, lambda r: may(r, "s3:GetObject", "arn:aws:s3:::*")),
    ("PassRole", gate.no_role_passes_or_takes_a_role, lambda r: may(r, "iam:PassRole", "ScheduleRole.Arn")),
    (
        "public bucket",
        gate.nothing_is_public,
        lambda r: properties(r, "Bucket")["PublicAccessBlockConfiguration"].update(BlockPublicPolicy=False),
    ),
    ("open bucket", gate.nothing_is_public, lambda r: properties(r, "Bucket").pop("PublicAccessBlockConfiguration")),
    (
        "bucket policy for everybody",
        gate.nothing_is_public,
        lambda r: policy_statement(r, "BucketPolicy").update(Effect="Allow"),
    ),
    (
        "topic for everybody",
        gate.nothing_is_public,
        lambda r: policy_statement(r, "TopicPolicy").update(Principal={"AWS": "*"}),
    ),
    (
        "URL for everybody",
        gate.nothing_is_public,
        lambda r: properties(r, "FetchFunction").update(FunctionUrlConfig={"AuthType": "NONE"}),
    ),
    ("plain-text secret", gate.no_secret_is_written_down, lambda r: variable(r, "X_BEARER_TOKEN", "AAAAAAAA")),
    (
        "secret in the template",
        gate.no_secret_is_written_down,
        lambda r: r.update(X={"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": "AAAAAAAA"}}),
    ),
    (
        "key in a value",
        gate.no_secret_is_written_down,
        lambda r: properties(r, "FeedsParameter").update(Value="AKIA" + "A" * 16),
    ),
    (
        "webhook in the environment",
        gate.no_environment_holds_a_secret,
        lambda r: variable(r, "WEBHOOK_URL", {"Ref": "AlertWebhookUrl"}),
    ),
    (
        "webhook under another name",
        gate.no_environment_holds_a_secret,
        lambda r: variable(r, "CHANNEL", "https://hooks.example/T0/B0"),
    ),
    (
        "secret under a name that is explained",
        gate.no_environment_holds_a_secret,
        lambda r: variable(r, "SECRETS_PREFIX", {"Ref": "Token"}),
    ),
    (
        "secret resolved into the environment",
        gate.no_environment_holds_a_secret,
        lambda r: variable(r, "CHANNEL", {"Fn::Sub": "{{resolve:secretsmanager:${AlertWebhookSecret}}}"}),
    ),
    (
        "no DLQ of a schedule",
        gate.nothing_that_fails_is_lost,
        lambda r: properties(r, "DailySchedule")["Target"].pop("DeadLetterConfig"),
    ),
    (
        "no DLQ of a function",
        gate.nothing_that_fails_is_lost,
        lambda r: properties(r, "RelayAlertFunction").pop("EventInvokeConfig"),
    ),
    (
        "no DLQ of a stream",
        gate.nothing_that_fails_is_lost,
        lambda r: properties(r, "IngestStreamMapping").pop("DestinationConfig"),
    ),
    (
        "no time zone",
        gate.every_schedule_has_a_time_zone,
        lambda r: properties(r, "FrequentSchedule").pop("ScheduleExpressionTimezone"),
    ),
    (
        "SAM's schedule, which has none",
        gate.every_schedule_has_a_time_zone,
        lambda r: properties(r, "ImagePipeline").update(
            Events={"Daily": {"Type": "Schedule", "Properties": {"Schedule": "rate(1 day)"}}}
        ),
    ),
    ("no Map permissions", gate.distributed_map_may_run_its_children, lambda r: r.pop("ImagePipelineMapRunPolicy")),
    (
        "Map permissions of another role",
        gate.distributed_map_may_run_its_children,
        lambda r: properties(r, "ImagePipelineMapRunPolicy").update(Roles=[{"Ref": "ScheduleRole"}]),
    ),
    ("no log retention", gate.no_log_stays_for_ever, lambda r: properties(r, "FetchLogGroup").pop("RetentionInDays")),
    ("no log group", gate.no_log_stays_for_ever, lambda r: properties(r, "FetchFunction").pop("LoggingConfig")),
    ("unencrypted topic", gate.what_rests_is_encrypted, lambda r: properties(r, "Topic").pop("KmsMasterKeyId")),
    (
        "unencrypted queue",
        gate.what_rests_is_encrypted,
        lambda r: properties(r, "ScheduleDeadLetters").update(SqsManagedSseEnabled=False),
    ),
    (
        "unencrypted table",
        gate.what_rests_is_encrypted,
        lambda r: properties(r, "BookmarksTable")["SSESpecification"].update(SSEEnabled=False),
    ),
    ("unencrypted bucket", gate.what_rests_is_encrypted, lambda r: properties(r, "Bucket").pop("BucketEncryption")),
]


@pytest.mark.parametrize(("rule", "change"), [pytest.param(*fault, id=name) for name, *fault in FAULTS])
def test_rule_finds_what_is_planted(rule: Rule, change: Callable[[Resources], object], whole: Json) -> None:
    assert set(rule(broken(change))) - set(rule(whole))


def test_every_rule_has_a_fault_to_find() -> None:
    assert {rule for _, rule, _ in FAULTS} == set(RULES)
