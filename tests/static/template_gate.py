"""The template as CloudFormation gets it, after SAM's transform, and the rules it has to keep.

A rule takes a transformed template and returns its breaches as sentences, as those of ``asl.py`` do. A breach that is
meant stands in ``EXPLAINED`` with its reason.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from tests.static.asl import TEMPLATE, Json

Rule = Callable[[Json], list[str]]

EXECUTIONS = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:execution:${%s.Name}"
# What SAM gives every function: to write its log and its traces.
MANAGED = {"service-role/AWSLambdaBasicExecutionRole", "AWSXrayWriteOnlyAccess"}
# A wildcard may end a name that begins with something of this stack: ${Bucket.Arn}/work/*.
NARROW = re.compile(r"[^*]*\$\{(?!AWS::(Partition|Region|AccountId)\})[^*]*[/:]\*")
# Properties of which one has to be set, and none of what is in it off.
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
    "ImagePipelineRole: DeliverLogs reaches *": (
        "the actions know no resource: https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html"
    ),
    "ImagePipelineRole: SendTraces reaches *": (
        "nor do these: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-xray-tracing.html"
    ),
    "SECRETS_PREFIX, ${AWS::StackName}/, may be a secret": "how their names begin; the function reads them",
    "ALERT_WEBHOOK_SECRET, AlertWebhookSecret, may be a secret": "the name of one; the function reads it",
    "RunEndedRule: what does not arrive is lost": "EventBridge tries for a day, and NoGoodRunAlarm sees it too",
    "EventsRule: what does not arrive is lost": "a log of events; the report is in the bucket",
}


def transformed(template: Json) -> Json:
    """A template after SAM's transform, with every condition met."""
    template = copy.deepcopy(template)
    # The transform wants what is on disk to be uploaded.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    template["Resources"]["ImagePipeline"]["Properties"]["DefinitionUri"] = "s3://bucket/key"
    template["Resources"]["ImagingLayer"]["Properties"]["ContentUri"] = "s3://bucket/key"
    session = boto3.Session(region_name="us-east-1")
    result = Translator({}, Parser(), boto_session=session).translate(template, {})
    for resource in result["Resources"].values():
        resource.pop("Condition", None)
    assert isinstance(result, dict)
    return result


def broken(change: Callable[[dict[str, Json]], object]) -> Json:
    """The transformed template with ``change`` made to the resources before."""
    template = copy.deepcopy(TEMPLATE)
    change(template["Resources"])
    return transformed(template)


def plain(value: Any) -> str:
    """A reference as text: ``Topic``, ``Bucket.Arn``, ``${Bucket.Arn}/work/*``."""
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
    """The resources of some types: name and properties."""
    return [(name, r.get("Properties", {})) for name, r in template["Resources"].items() if r["Type"] in kinds]


def dicts(value: Any) -> Iterator[Json]:
    """Every object within, and in policies that are written as text."""
    if isinstance(value, str) and value.startswith('{"Version"'):
        value = json.loads(value)
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from dicts(inner)


def statements(template: Json) -> Iterator[tuple[str, Json]]:
    """Every statement of every policy that allows something, with the resource it is in."""
    for name, resource in template["Resources"].items():
        yield from ((name, found) for found in dicts(resource) if found.get("Effect") == "Allow")


def identity_statements(template: Json) -> Iterator[tuple[str, Json]]:
    """Those that say what a role may do, rather than who may use a resource."""
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
            breaches.append(f"{name}: {sid} says only what is not allowed")
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
            for name, found in of_type(template, "AWS::Lambda::Permission", "AWS::Lambda::Url")
            if found.get("Principal") == "*" or found.get("AuthType") == "NONE"
        ),
    ]


def no_secret_is_written_down(template: Json) -> list[str]:
    parts = {**template.get("Parameters", {}), **template["Resources"]}
    return [
        *(f"{name}: a secret" for name, part in parts.items() if SECRET_TEXT.search(json.dumps(part))),
        *(
            f"{name}: {key} is written down"
            for name, part in parts.items()
            for key, value in [(name, part.get("Default")), *(pair for found in dicts(part) for pair in found.items())]
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
    def keeps(found: Json) -> bool:
        return bool(found.get("DeadLetterConfig") or found.get("DestinationConfig", {}).get("OnFailure"))

    # Others than Step Functions call a function without waiting for it.
    called = {
        plain(found["FunctionName"]).partition(".")[0]
        for _, found in of_type(template, "AWS::Lambda::Permission")
        if found["Principal"] != "states.amazonaws.com"
    }
    kept = {
        *(plain(c["FunctionName"]) for _, c in of_type(template, "AWS::Lambda::EventInvokeConfig") if keeps(c)),
        *(name for name, function in of_type(template, "AWS::Lambda::Function") if keeps(function)),
    }
    lossy = [
        *sorted(called - kept),
        *(name for name, found in of_type(template, "AWS::Lambda::EventSourceMapping") if not keeps(found)),
        *(name for name, found in of_type(template, "AWS::Scheduler::Schedule") if not keeps(found["Target"])),
        *(name for name, rule in of_type(template, "AWS::Events::Rule") if not all(map(keeps, rule["Targets"]))),
    ]
    return [f"{name}: what does not arrive is lost" for name in lossy]


def every_schedule_has_a_time_zone(template: Json) -> list[str]:
    """A rule with a schedule has none: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html"""
    return [
        f"{name}: a schedule without a time zone"
        for name, found in of_type(template, "AWS::Scheduler::Schedule", "AWS::Events::Rule")
        if "ScheduleExpression" in found and not found.get("ScheduleExpressionTimezone")
    ]


def distributed_map_may_run_its_children(template: Json) -> list[str]:
    """What it needs: https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html"""
    breaches = []
    for name, machine in of_type(template, "AWS::StepFunctions::StateMachine"):
        role = plain(machine["RoleArn"]).removesuffix(".Arn")
        attached = {role} | {
            policy
            for policy, found in of_type(template, "AWS::IAM::Policy")
            if role in map(plain, found.get("Roles", []))
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
        # Lambda makes one itself otherwise, and keeps it.
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
        for name, found in of_type(template, kind)
        if not any(on(found.get(way)) for way in ways)
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
