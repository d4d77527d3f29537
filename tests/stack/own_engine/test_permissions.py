"""Each role may do what ``docs/permissions.md`` says and nothing else, and real runs need every grant that it has."""

from __future__ import annotations

import base64
import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product, starmap
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.exceptions import ClientError

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.erased_objects import folders
from imagelake.lake.parts import Part, Parts
from imagelake.lake.rows import Status
from imagelake.run.models import PlannedBatch
from local.deploy import ONLY_WITH_TLS, STACK_NAME, deploy
from local.engine import REGION, Engine
from local.stream import put_records
from tests.support import watched_engine
from tests.support.deployed_stack import TEMPLATE
from tests.support.factories import event, item, plan, result
from tests.support.private_parts import is_allowed
from tests.support.wire.instagram import InstagramServer
from tests.support.wire.server import WireServer
from tests.support.wire.webhook import PATH, Webhook

DOCUMENT = (Path(__file__).parents[3] / "docs" / "permissions.md").read_text()
(MATRIX,) = re.findall(r"```text\n(.*?)```", DOCUMENT, re.DOTALL)
# The grants that no call on the engine needs. Most are for what Lambda does in the function's name, which the engine
# does without asking. No run here reads Facebook, no run resumes a batch, so Transform looks for no raw image, and no
# record comes after the erasures. No file of the rebuilds fails or is done again, and they run before the erasures. No
# rejected item has the bytes of an erased one, and the log has few names. And an object that is not there is 404 to
# everybody, where S3 answers 403 to who may not list:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
OUT_OF_REACH = """
kinesis:DescribeStream kinesis:DescribeStreamSummary kinesis:GetRecords kinesis:GetShardIterator kinesis:ListShards
    PostStream IngestStream
s3:GetObject
    Bucket/raw/images/* Transform
    Bucket/work/rebuild/counts/* RebuildImages
    Bucket/work/rebuild/attempts/* RebuildImages
    Bucket/work/failed-batches/* ReportRebuild
s3:PutObject
    Bucket/aws/lambda/* IngestStream
    Bucket/hash-log/* Transform RebuildImages
s3:ListBucket
    Bucket IngestStream MapKeys Reconcile Report WriteParquet Suppress ReportRebuild
secretsmanager:GetSecretValue
    imagelake/facebook-?????? Fetch Transform
    imagelake/bluesky Fetch
    imagelake/facebook Fetch
    imagelake/instagram Fetch
    imagelake/mastodon Fetch
    imagelake/x Fetch
    imagelake/bluesky-?????? Fetch
    imagelake/mastodon-?????? Fetch
    imagelake/x-?????? Fetch
    SuppressionKey IngestStream Unpack
dynamodb:Query
    SuppressionTable IngestStream Unpack
dynamodb:UpdateItem
    ImageKeysTable EraseImages
dynamodb:DeleteItem
    ImageHashesTable EraseImages
sqs:SendMessage
    AlertDeadLetters RelayAlert
"""
ROLES = re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.MULTILINE)
# What the engine does in these roles' names, it does without asking; test_template.py has what they are for.
SERVICES = ["Schedule", "ImagePipeline", "Erasure", "Rebuild"]
FUNCTIONS = [role for role in ROLES if role not in SERVICES]
ACCOUNT = "000000000000"
HERE = f"{REGION}:{ACCOUNT}"
BEFORE_THE_NAME = {
    "s3": "arn:aws:s3:::", "dynamodb": f"arn:aws:dynamodb:{HERE}:table/", "states": f"arn:aws:states:{HERE}:",
    "secretsmanager": f"arn:aws:secretsmanager:{HERE}:secret:", "lambda": f"arn:aws:lambda:{HERE}:function:",
    "events": f"arn:aws:events:{HERE}:event-bus/", "sns": f"arn:aws:sns:{HERE}:", "kms": f"arn:aws:kms:{HERE}:key/",
    "ssm": f"arn:aws:ssm:{HERE}:parameter/", "sqs": f"arn:aws:sqs:{HERE}:",
    "kinesis": f"arn:aws:kinesis:{HERE}:stream/",
}  # fmt: skip


class Act(NamedTuple):
    """One action on one resource: a call, or a grant, whose resource may be a pattern."""

    action: str
    resource: str


def unneeded(grants: set[Act], calls: set[Act]) -> set[Act]:
    """The grants without which the same calls would be allowed."""
    allowed = {call for call in calls if is_allowed(grants, *call)}
    return {grant for grant in grants if all(is_allowed(grants - {grant}, *call) for call in allowed)}


@dataclass
class Deployed:
    """The stack with all that is optional; ``roles`` and ``grants`` are by the role's name in the matrix."""

    engine: Engine
    webhook: Webhook
    instagram: InstagramServer
    photos: WireServer

    def __post_init__(self) -> None:
        resources = self.engine.client("cloudformation").describe_stack_resources(StackName=STACK_NAME)
        self.names = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources["StackResources"]}
        # The physical id of a secret is its name here and its ARN on AWS, which ends with six more letters.
        key = self.engine.client("secretsmanager").describe_secret(SecretId=self.names["SuppressionKey"])
        self.names["SuppressionKey"] = key["ARN"]
        self.roles = {
            re.sub("(Function)?Role$", "", one["LogicalResourceId"]): one["PhysicalResourceId"]
            for one in resources["StackResources"]
            if one["ResourceType"] == "AWS::IAM::Role"
        }
        self.grants = {role: self._grants(name) for role, name in self.roles.items()}

    def _grants(self, role: str) -> set[Act]:
        found: list[tuple[str, str]] = []
        iam = self.engine.client("iam")
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]:
                assert statement.keys() <= {"Sid", "Effect", "Action", "Resource"}
                assert statement["Effect"] == "Allow"
                found += product(listed(statement["Action"]), listed(statement["Resource"]))
        assert len({*found}) == len(found)
        return {*starmap(Act, found)}

    def read(self, matrix: str) -> dict[Act, set[str]]:
        """Calls, and the roles that may make them."""
        cells: dict[Act, set[str]] = {}
        actions: list[str] = []
        for line in matrix.strip().splitlines():
            if not line.startswith(" "):
                actions = line.split()
                continue
            name, *roles = line.split()
            cells |= {Act(action, self._arn(action, name)): {*roles} - {"-"} for action in actions}
        assert set().union(*cells.values()) <= self.roles.keys()
        return cells

    def _arn(self, action: str, name: str) -> str:
        def deployed(found: re.Match[str]) -> str:
            # Of an ARN and of a queue's address, the last part.
            return re.sub(r"^(arn|http):.*[:/]", "", self.names.get(found[0], found[0]))

        return BEFORE_THE_NAME.get(action.partition(":")[0], "") + re.sub(r"[A-Za-z]+", deployed, name)

    def calls(self, *, allowed: bool) -> dict[str, set[Act]]:
        """The calls that functions have made so far, by the name of their role."""
        role_of = {name: role for role, name in self.roles.items()}
        found = defaultdict(set)
        for line in (self.engine.folder / "checks.jsonl").read_text().splitlines():
            caller, action, resource, was_allowed = json.loads(line)
            match caller.split("/"):
                # The session of a function has its name.
                case [_, role, session] if session in self.names.values() and was_allowed == allowed:
                    found[role_of[role]].add(Act(action, resource))
        return found

    def run(self, name: str, **options: Any) -> str:
        states = self.engine.client("stepfunctions")
        given = json.dumps({"failure_tolerance_percent": 50, **options})
        arn = states.start_execution(stateMachineArn=self.names["ImagePipeline"], name=name, input=given)
        self.wait()
        return str(states.describe_execution(executionArn=arn["executionArn"])["status"])

    def erase(self, name: str, **erase: Any) -> dict[str, Any]:
        """Run an erasure to its end, and return its output."""
        states = self.engine.client("stepfunctions")
        given = json.dumps({"erase": erase, "reason": "author_request", "reference": "ticket 17"})
        arn = states.start_execution(stateMachineArn=self.names["Erasure"], name=name, input=given)["executionArn"]
        while (execution := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
            time.sleep(0.1)
        assert execution["status"] == "SUCCEEDED", execution.get("cause")
        output: dict[str, Any] = json.loads(execution["output"])
        return output

    def rebuild(self, name: str, **request: Any) -> None:
        states = self.engine.client("stepfunctions")
        arn = states.start_execution(stateMachineArn=self.names["Rebuild"], name=name, input=json.dumps(request))[
            "executionArn"
        ]
        while (execution := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
            time.sleep(0.1)
        assert execution["status"] == "SUCCEEDED", execution

    def wait(self, runs: int = 1) -> None:
        """Until there were so many runs and all have ended."""
        states, machine = self.engine.client("stepfunctions"), self.names["ImagePipeline"]
        while True:
            found = [run["status"] for run in states.list_executions(stateMachineArn=machine)["executions"]]
            if len(found) >= runs and "RUNNING" not in found:
                return
            time.sleep(0.1)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    settings = {"AUTH": "true", "SFN_WAIT_SCALE": "0"}
    program = Path(watched_engine.__file__)
    with (
        Webhook() as webhook,
        InstagramServer("login", "renewed", "") as instagram,
        WireServer() as photos,
        Engine(tmp_path_factory.mktemp("engine"), settings=settings, program=program) as engine,
    ):
        secrets = engine.client("secretsmanager")
        alerts = {"url": webhook.url + PATH, "format": "slack"}
        secrets.create_secret(Name=f"{STACK_NAME}/alerts", SecretString=json.dumps(alerts))
        secrets.create_secret(Name=f"{STACK_NAME}/instagram", SecretString=json.dumps({"access_token": "login"}))
        parameters = {
            "Feeds": json.dumps([{"source": "instagram", "account": "me", "server": instagram.url}]),
            "ScheduleState": "DISABLED",
            "StreamIngest": "ENABLED",
            "AlertWebhookSecret": f"{STACK_NAME}/alerts",
            "TrustedOrigins": f"{webhook.url},{instagram.url},{photos.url}",
        }
        deploy(engine, TEMPLATE, parameters, without=ONLY_WITH_TLS)
        yield Deployed(engine, webhook, instagram, photos)


@pytest.mark.parametrize("role", ROLES)
def test_role_may_do_what_the_matrix_says_and_nothing_else(deployed: Deployed, role: str) -> None:
    cells = deployed.read(MATRIX)
    assert {cell for cell in cells if is_allowed(deployed.grants[role], *cell)} == {
        cell for cell, roles in cells.items() if role in roles
    }


@pytest.mark.parametrize("role", ROLES)
def test_matrix_would_change_without_any_one_grant(deployed: Deployed, role: str) -> None:
    assert unneeded(deployed.grants[role], {*deployed.read(MATRIX)}) == set()


def test_no_action_is_a_pattern_and_only_logs_and_traces_are_on_everything(deployed: Deployed) -> None:
    grants = set().union(*deployed.grants.values())
    assert not [grant for grant in grants if "*" in grant.action or "?" in grant.action]
    assert {grant.action.partition(":")[0] for grant in grants if grant.resource == "*"} == {"logs", "xray"}


def test_functions_have_two_policies_of_aws_and_services_none(deployed: Deployed) -> None:
    iam = deployed.engine.client("iam")
    for role, name in deployed.roles.items():
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        names = {"AWSLambdaBasicExecutionRole", "AWSXrayWriteOnlyAccess"} if role in FUNCTIONS else set()
        assert {policy["PolicyName"] for policy in attached} == names
        assert all(name in DOCUMENT for name in names)


def test_document_has_every_role(deployed: Deployed) -> None:
    assert {*ROLES} == deployed.roles.keys()


@pytest.fixture(scope="module")
def ran(deployed: Deployed) -> Deployed:
    """The stack after a run whose Map Keys had lost its policy, another run, when it had it again, its retry, erasures.

    After these, records of a stream: a post, of a picture that is there and of one that looks like it, and one that
    is no post. And a batch of which an attempt that died has left a part.
    """
    iam, role = deployed.engine.client("iam"), deployed.roles["MapKeys"]
    deployed.instagram.faults.clear()
    (policy,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = json.dumps(iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"])
    iam.delete_role_policy(RoleName=role, PolicyName=policy)
    assert deployed.run("denied") == "FAILED"
    iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=document)
    assert deployed.run("allowed") == "SUCCEEDED"
    assert deployed.webhook.wait_for(":allowed")
    retry = {"run_id": "allowed", "error_codes": ["url_expired"]}
    assert deployed.run("again", retry=retry, failure_tolerance_percent=100) == "SUCCEEDED"

    addresses = [deployed.instagram.photo("dandelion"), deployed.photos.photo("dandelion")]
    media = [
        {"media_id": f"cms/1/{number}", "index": number, "kind": "image", "url": url}
        for number, url in enumerate(addresses)
    ]
    told = {"post_id": "1", "author_id": "cms", "posted_at": "2026-11-20T08:00:00Z", "media": media}
    records = [json.dumps({"schema": "imagelake.post/1", "post": told}).encode(), b"no post"]
    put_records(deployed.engine.client("kinesis"), deployed.names["PostStream"], records)

    planned = plan(item("a"), item("b", deployed.photos.photo("dandelion")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("imagelake.lake.bucket.client", deployed.engine.client)
        bucket = Bucket(deployed.names["Bucket"])
    bucket.put(object_keys.planned_batch(planned.batch), planned.model_dump_json().encode(), "application/json")
    Parts(bucket, planned.batch).write(0, Part(), [result(planned.items[0], Status.FAILED)])
    attempt = json.dumps({"media_id": planned.items[0].media_id}).encode()
    bucket.put(object_keys.attempt(planned.batch, 0), attempt, "application/json")
    answer = deployed.engine.client("lambda").invoke(
        FunctionName=deployed.names["TransformFunction"],
        Payload=json.dumps(event("transform", batch=planned.batch)),
    )
    counts = json.loads(answer["Payload"].read())
    assert (counts["ok"] + counts["duplicate"], counts["failed"]) == (1, 1), counts
    deployed.wait(runs=4)
    # The first one rejects every image that no other one refers to, the second one accepts them again. The post of the
    # stream stays out, because an image that it shows has to stay its duplicate for the erasures.
    for name, size in (("rejects", 2000), ("accepts", 8)):
        deployed.rebuild(name, networks=["instagram"], min_image_size=size)
    run_erasures(deployed, planned, bucket)
    assert deployed.run("after", failure_tolerance_percent=100) == "SUCCEEDED"
    return deployed


def run_erasures(deployed: Deployed, planned: PlannedBatch, bucket: Bucket) -> None:
    """Erase an image that the post of the stream shows too, then all authors, twice.

    The batch of the attempt that died is open, and some of its objects are damaged. Lambda has given up records, and a
    bookmark has the id of an author.
    """
    tables = deployed.engine.client("dynamodb")

    def entry(media_id: str) -> dict[str, str]:
        key = {"media_id": {"S": media_id}}
        found = tables.get_item(TableName=deployed.names["ImageKeysTable"], Key=key)["Item"]
        return {name: next(iter(value.values())) for name, value in found.items()}

    shown = entry("cms/1/0")
    assert shown["status"] == "duplicate"
    source, _, account = entry(shown["duplicate_of"])["author"].partition("#")
    bucket.put(object_keys.open_batch(planned.batch), planned.model_dump_json().encode(), "application/json")
    records = [json.dumps({"author_id": author}).encode() for author in ("cms", "another")]
    for number in (1, 2):
        sent = [
            {"kinesis": {"sequenceNumber": str(place), "data": base64.b64encode(one).decode()}}
            for place, one in enumerate(records[:number])
        ]
        key = f"aws/lambda/mapping/shardId-0/2026/11/20/2026-11-20T01.02.03-{number}"
        bucket.put_json(key, {"payload": {"Records": sent}})
    reject = {"post_id": None, "raw": {"author_id": "cms"}}
    bucket.put_lines("rejects/source=stream/dt=2026-11-20/another.jsonl", [reject])
    batch_id = planned.batch.batch_id
    for key in (
        f"work/parts/{batch_id}/retry=damaged/00000",
        f"work/plans/{batch_id}/damaged.json",
        f"work/staged/{batch_id}/damaged.jsonl",
        "reports/allowed/feeds/damaged.json",
        "lake/coverage/dt=2026-11-20/damaged.json.gz",
        object_keys.HASH_LOG_SNAPSHOT,
    ):
        bucket.put(key, b"damaged", "application/octet-stream")
    for prefix in folders(["stream"]):
        # A delete marker: only older versions are left.
        bucket.put(f"{prefix}older", b"older", "text/plain")
        bucket.delete(f"{prefix}older")
    for prefix in object_keys.MESSAGES:
        bucket.put_json(f"{prefix}run/a.json", {"message": shown["duplicate_of"]})
    author_id = planned.items[0].author_id
    bookmark = {"feed_id": "bluesky-1", "newest_id": f"at://{author_id}/1", "newest_at": "2026-11-20T00:00:00.000000Z"}
    tables.put_item(
        TableName=deployed.names["BookmarksTable"], Item={name: {"S": value} for name, value in bookmark.items()}
    )
    found = deployed.erase("image", media_ids=[shown["duplicate_of"]])
    assert found["receipt"]["subject"].endswith("1 item erased")
    authors = [(source, account), ("stream", "cms"), ("bluesky", author_id)]
    for name in ("authors", "authors-again"):
        deployed.erase(name, authors=[{"source": source, "author_id": author} for source, author in authors])


@pytest.mark.parametrize("role", FUNCTIONS)
def test_runs_need_every_grant(ran: Deployed, role: str) -> None:
    out_of_reach = {grant for grant, roles in ran.read(OUT_OF_REACH).items() if role in roles}
    assert unneeded(ran.grants[role], ran.calls(allowed=True)[role]) == out_of_reach


def test_function_that_lost_its_policy_is_refused_and_no_other_ever(ran: Deployed) -> None:
    refused = ran.calls(allowed=False)
    assert {(role, call.action) for role, calls in refused.items() for call in calls} == {("MapKeys", "s3:GetObject")}


def test_role_is_refused_what_is_not_its_own(deployed: Deployed) -> None:
    role, iam = deployed.roles["Transform"], deployed.engine.client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps({"Statement": [trust]}))
    arn = iam.get_role(RoleName=role)["Role"]["Arn"]
    found = deployed.engine.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    session = boto3.Session(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
    s3, bucket = session.client("s3", REGION, endpoint_url=deployed.engine.url), deployed.names["Bucket"]
    s3.put_object(Bucket=bucket, Key="raw/images/ab/abcdef")
    for call, key in (
        (s3.put_object, "lake/images/a"),
        (s3.put_object, "work/plans/a"),
        (s3.put_object, "work/lists/run/a"),
        (s3.delete_object, "raw/images/ab/abcdef"),
        (s3.get_object, "raw/posts/a"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            call(Bucket=bucket, Key=key)
