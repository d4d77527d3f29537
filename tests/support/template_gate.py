"""The template after SAM's transform, as CloudFormation gets it, and rules for it.

A rule takes a transformed template and returns its breaches as sentences, like the rules of ``asl.py``. ``EXPLAINED``
has the breaches that are intended, with the reason.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.asl import MACHINES, TEMPLATE, Json

Rule = Callable[[Json], list[str]]

EXECUTIONS = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:execution:${%s.Name}"
# SAM gives every function these policies, to write its log and its traces.
MANAGED = {"service-role/AWSLambdaBasicExecutionRole", "AWSXrayWriteOnlyAccess"}
# A wildcard may end a name that starts with a resource of this stack: ${Bucket.Arn}/work/*.
NARROW = re.compile(r"[^*]*\$\{(?!AWS::(Partition|Region|AccountId)\})[^*]*[/:]\*")
# One of these properties has to be set, with no part of it turned off.
ENCRYPTION = {
    "AWS::SNS::Topic": ("KmsMasterKeyId",),
    "AWS::SQS::Queue": ("SqsManagedSseEnabled", "KmsMasterKeyId"),
    "AWS::S3::Bucket": ("BucketEncryption",),
    "AWS::DynamoDB::Table": ("SSESpecification",),
    "AWS::Kinesis::Stream": ("StreamEncryption",),
}
SECRET_NAME = re.compile(r"(?i)(password|secret|token|api_?key|credential|secret_?string|webhook(_?url)?)s?")
SECRET_TEXT = re.compile(
    r"AKIA[0-9A-Z]{16}|xox[abprs]-|gh[pousr]_\w{20}|-----BEGIN|hooks\.slack\.com/|discord(app)?\.com/api/webhooks/"
)

EXPLAINED = {
    **{
        f"{workflow}Role: DeliverLogs reaches *": (
            "the actions take no resource: https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html"
        )
        for workflow in MACHINES
    },
    **{
        f"{workflow}Role: SendTraces reaches *": (
            "the same holds for these: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-xray-tracing.html"
        )
        for workflow in MACHINES
    },
    "SECRETS_PREFIX, ${AWS::StackName}/, may be a secret": "a prefix of names; the function reads the secrets",
    "ALERT_WEBHOOK_SECRET, AlertWebhookSecret, may be a secret": "the name of a secret; the function reads the secret",
    "RunEndedRule: an event that does not arrive is lost": "EventBridge retries for a day, and NoGoodRunAlarm acts too",
    "ErasureStoppedRule: an event that does not arrive is lost": "EventBridge retries for a day; nothing comes back",
    "RunStoppedRule: an event that does not arrive is lost": "EventBridge retries for a day; a person knows of it",
    "RebuildEndedRule: an event that does not arrive is lost": "EventBridge retries for a day; a person has started it",
    "EventsRule: an event that does not arrive is lost": "a log of events; the report is in the bucket",
}


def transformed(template: Json) -> Json:
    """Apply SAM's transform to a template, with every condition met."""
    # These imports take half a second, and most processes of a test run need none of them.
    import boto3
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    template = copy.deepcopy(template)
    # The transform accepts only uploaded files.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    for workflow in MACHINES:
        template["Resources"][workflow]["Properties"]["DefinitionUri"] = "s3://bucket/key"
    template["Resources"]["ImagingLayer"]["Properties"]["ContentUri"] = "s3://bucket/key"
    session = boto3.Session(region_name="us-east-1")
    result = Translator({}, Parser(), boto_session=session).translate(template, {})
    for resource in result["Resources"].values():
        resource.pop("Condition", None)
    assert isinstance(result, dict)
    return result


def broken(change: Callable[[dict[str, Json]], object]) -> Json:
    """Apply ``change`` to the resources, then transform the template."""
    template = copy.deepcopy(TEMPLATE)
    change(template["Resources"])
    return transformed(template)


def plain(value: Any) -> str:
    """Write a reference as text: ``Topic``, ``Bucket.Arn``, ``${Bucket.Arn}/work/*``."""
    match value:
        case {"Ref": name}:
            return str(name)
        case {"Fn::GetAtt": path}:
            return ".".join(path)
        case {"Fn::Sub": text}:
            return str(text)
        case _:
            return str(value)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def grants(statement: Json) -> set[tuple[str, str]]:
    return {(a, plain(r)) for a in listed(statement["Action"]) for r in listed(statement["Resource"])}


def of_type(template: Json, *kinds: str) -> list[tuple[str, Json]]:
    """List name and properties of the resources of some types."""
    return [(name, r.get("Properties", {})) for name, r in template["Resources"].items() if r["Type"] in kinds]


def dicts(value: Any) -> Iterator[Json]:
    """List every object in a value, also in policies that are written as text."""
    if isinstance(value, str) and value.startswith('{"Version"'):
        value = json.loads(value)
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from dicts(inner)


def statements(template: Json) -> Iterator[tuple[str, Json]]:
    """List every statement that allows something, with the name of its resource."""
    for name, resource in template["Resources"].items():
        yield from ((name, part) for part in dicts(resource) if part.get("Effect") == "Allow")


def identity_statements(template: Json) -> Iterator[tuple[str, Json]]:
    """List the statements on what a role may do, without those on who may use a resource."""
    return ((name, s) for name, s in statements(template) if "Principal" not in s and "NotPrincipal" not in s)


# ---- The rules -------------------------------------------------------------------------------------------------------


def no_role_may_do_everything(template: Json) -> list[str]:
    breaches = [
        f"{name}: the managed policy {plain(policy)}"
        for name, role in of_type(template, "AWS::IAM::Role")
        for policy in role.get("ManagedPolicyArns", [])
        if plain(policy).partition(":policy/")[2] not in MANAGED
    ]
    for name, statement in identity_statements(template):
        sid = statement.get("Sid", "a statement")
        if "NotAction" in statement or "NotResource" in statement:
            breaches.append(f"{name}: {sid} lists only what is not allowed")
        else:
            actions, resources = ({grant[n] for grant in grants(statement)} for n in (0, 1))
            breaches += [f"{name}: {sid} allows {action}" for action in sorted(actions) if "*" in action]
            breaches += [
                f"{name}: {sid} reaches {r}" for r in sorted(resources) if "*" in r and not NARROW.fullmatch(r)
            ]
    return breaches


def no_role_passes_or_takes_a_role(template: Json) -> list[str]:
    return [
        f"{name}: {action}"
        for name, statement in identity_statements(template)
        for action in listed(statement.get("Action", []))
        if action.startswith(("iam:", "sts:"))
    ]


def nothing_is_public(template: Json) -> list[str]:
    return [
        *(
            f"{name}: everybody may {statement.get('Action')}"
            for name, statement in statements(template)
            if statement.get("Principal") in ("*", {"AWS": "*"}, {"AWS": ["*"]}) or "NotPrincipal" in statement
        ),
        *(
            f"{name}: the bucket is not closed"
            for name, bucket in of_type(template, "AWS::S3::Bucket")
            if [*bucket.get("PublicAccessBlockConfiguration", {}).values()] != [True] * 4
            or bucket.get("OwnershipControls") != {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        ),
        *(
            f"{name}: everybody may call it"
            for name, properties in of_type(template, "AWS::Lambda::Permission", "AWS::Lambda::Url")
            if properties.get("Principal") == "*" or properties.get("AuthType") == "NONE"
        ),
    ]


def no_secret_is_written_down(template: Json) -> list[str]:
    parts = {**template.get("Parameters", {}), **template["Resources"]}
    return [
        *(f"{name}: a secret" for name, part in parts.items() if SECRET_TEXT.search(json.dumps(part))),
        *(
            f"{name}: {key} is written down"
            for name, part in parts.items()
            for key, value in [(name, part.get("Default")), *(pair for inner in dicts(part) for pair in inner.items())]
            if SECRET_NAME.search(key) and isinstance(value, str) and value
        ),
    ]


def no_environment_holds_a_secret(template: Json) -> list[str]:
    return [
        f"{variable}, {plain(value)}, may be a secret"
        for _, function in of_type(template, "AWS::Lambda::Function")
        for variable, value in function.get("Environment", {}).get("Variables", {}).items()
        if SECRET_NAME.search(variable) or re.search(r"\{\{resolve:|://", json.dumps(value))
    ]


def nothing_that_fails_is_lost(template: Json) -> list[str]:
    def keeps(properties: Json) -> bool:
        return bool(properties.get("DeadLetterConfig") or properties.get("DestinationConfig", {}).get("OnFailure"))

    # Other services than Step Functions call a function asynchronously.
    called = {
        plain(properties["FunctionName"]).partition(".")[0]
        for _, properties in of_type(template, "AWS::Lambda::Permission")
        if properties["Principal"] != "states.amazonaws.com"
    }
    kept = {
        *(plain(c["FunctionName"]) for _, c in of_type(template, "AWS::Lambda::EventInvokeConfig") if keeps(c)),
        *(name for name, function in of_type(template, "AWS::Lambda::Function") if keeps(function)),
    }
    lossy = [
        *sorted(called - kept),
        *(name for name, properties in of_type(template, "AWS::Lambda::EventSourceMapping") if not keeps(properties)),
        *(
            name
            for name, properties in of_type(template, "AWS::Scheduler::Schedule")
            if not keeps(properties["Target"])
        ),
        *(name for name, rule in of_type(template, "AWS::Events::Rule") if not all(map(keeps, rule["Targets"]))),
    ]
    return [f"{name}: an event that does not arrive is lost" for name in lossy]


def every_schedule_has_a_time_zone(template: Json) -> list[str]:
    """Find schedules without a time zone; the schedule of a rule cannot have one: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html"""
    return [
        f"{name}: a schedule without a time zone"
        for name, properties in of_type(template, "AWS::Scheduler::Schedule", "AWS::Events::Rule")
        if "ScheduleExpression" in properties and not properties.get("ScheduleExpressionTimezone")
    ]


def distributed_map_may_run_its_children(template: Json) -> list[str]:
    """Check the grants that a Distributed Map needs: https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html"""
    breaches = []
    for name, machine in of_type(template, "AWS::StepFunctions::StateMachine"):
        role = plain(machine["RoleArn"]).removesuffix(".Arn")
        attached = {role} | {
            policy
            for policy, properties in of_type(template, "AWS::IAM::Policy")
            if role in map(plain, properties.get("Roles", []))
        }
        granted = {g for holder, s in identity_statements(template) if holder in attached for g in grants(s)}
        breaches += [f"{name}: its role may not {action}" for action, _ in sorted(distributed_map(name) - granted)]
    return breaches


def distributed_map(machine: str) -> set[tuple[str, str]]:
    executions = EXECUTIONS % machine
    return {
        ("states:StartExecution", machine),
        ("states:DescribeExecution", executions + ":*"),
        ("states:StopExecution", executions + ":*"),
        ("states:RedriveExecution", executions + "/*"),
    }


def no_log_stays_for_ever(template: Json) -> list[str]:
    groups = dict(of_type(template, "AWS::Logs::LogGroup"))
    return [
        *(f"{name}: no retention" for name, group in groups.items() if not group.get("RetentionInDays")),
        # Otherwise Lambda creates one that keeps its logs for ever.
        *(
            f"{name}: no log group of this stack"
            for name, function in of_type(template, "AWS::Lambda::Function")
            if plain(function.get("LoggingConfig", {}).get("LogGroup")) not in groups
        ),
    ]


def what_rests_is_encrypted(template: Json) -> list[str]:
    def on(value: Any) -> bool:
        return all(map(bool, value.values())) if isinstance(value, dict) and value else bool(value)

    return [
        f"{name}: not encrypted"
        for kind, ways in ENCRYPTION.items()
        for name, properties in of_type(template, kind)
        if not any(on(properties.get(way)) for way in ways)
    ]


RULES: tuple[Rule, ...] = (
    no_role_may_do_everything,
    no_role_passes_or_takes_a_role,
    nothing_is_public,
    no_secret_is_written_down,
    no_environment_holds_a_secret,
    nothing_that_fails_is_lost,
    every_schedule_has_a_time_zone,
    distributed_map_may_run_its_children,
    no_log_stays_for_ever,
    what_rests_is_encrypted,
)
