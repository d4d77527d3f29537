"""The template: one stem per step, no superfluous grant, the columns of the dataset, and safe settings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

import pytest

from check_input.days import DAYS_AHEAD, FIRST_DAY
from check_input.run_input import RunInput
from imagelake.lake import object_keys
from imagelake.lake.rows import COLUMNS
from imagelake.run.console import DOMAINS
from imagelake.run.models import Run
from imagelake.sources import SOURCES
from imagelake.sources.contract import Authorized, RefreshesUrls
from local.deploy import ONLY_WITH_TLS
from tests.support.asl import MACHINE, MACHINES, RESOURCES, ROOT, TEMPLATE, Json, lambda_tasks, package, states, tasks
from tests.support.template_gate import EXECUTIONS, distributed_map, grants, listed, plain
from tools.glue_projection import with_networks
from tools.schedule import no_good_run_hours

# The functions of each workflow, by their stems.
STEPS = [
    (workflow, stem) for workflow, machine in MACHINES.items() for stem in dict.fromkeys(lambda_tasks(machine).values())
]
# Functions outside the state machine, by package.
OUTSIDE = {"ingest_stream": "IngestStream", "relay_alert": "RelayAlert"}
ARN = "arn:${AWS::Partition}:%s:${AWS::Region}:${AWS::AccountId}:"
# Resources of the service integrations of Step Functions, as the template names them.
INTEGRATED = {
    "ssm:GetParameter": ARN % "ssm" + "parameter/${FeedsParameter}",
    "dynamodb:UpdateItem": "BookmarksTable.Arn",
    "sns:Publish": "Topic",
    "s3:PutObject": "${Bucket.Arn}/work/results/*",
}
# The lists that the Distributed Maps of each workflow read.
LISTS = {
    "ImagePipeline": "${Bucket.Arn}/work/lists/*",
    "Erasure": "${Bucket.Arn}/work/erasures/*",
    "Rebuild": "${Bucket.Arn}/work/rebuild/lists/*",
}
RESULTS = {
    (action, INTEGRATED["s3:PutObject"])
    for action in ("s3:GetObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
}
# Grants that no state needs: for the log, the traces and the topic's key.
PLATFORM = ("DeliverLogs", "SendTraces", "PublishToTheEncryptedTopic")


def of_type(kind: str) -> dict[str, Json]:
    return {name: resource for name, resource in RESOURCES.items() if resource["Type"] == kind}


# ---- One stem --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("workflow", "stem"), STEPS)
def test_step_has_one_stem_everywhere(workflow: str, stem: str) -> None:
    function = RESOURCES[f"{stem}Function"]["Properties"]
    assert function["Handler"] == f"{package(stem)}.app.handler"
    assert function["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == package(stem)
    assert function["LoggingConfig"] == {"LogGroup": {"Ref": f"{stem}LogGroup"}}
    assert RESOURCES[f"{stem}LogGroup"]["Type"] == "AWS::Logs::LogGroup"
    substitutions = RESOURCES[workflow]["Properties"]["DefinitionSubstitutions"]
    assert plain(substitutions[f"{stem}FunctionArn"]) == f"{stem}Function.Arn"
    assert (ROOT / "functions" / package(stem) / "app.py").is_file()
    assert (ROOT / "tests" / "unit" / "functions" / f"test_{package(stem)}.py").is_file()


def test_states_of_the_pipeline_have_the_names_of_their_functions() -> None:
    assert {name.replace(" ", ""): stem for name, stem in lambda_tasks(MACHINE).items()} == {
        stem: stem for stem in lambda_tasks(MACHINE).values()
    }


def test_every_function_is_a_step_or_outside_the_state_machines() -> None:
    stems = {*(stem for _, stem in STEPS), *OUTSIDE.values()}
    assert {name.removesuffix("Function") for name in of_type("AWS::Serverless::Function")} == stems
    packages = {app.parent.name for app in (ROOT / "functions").glob("*/app.py")}
    assert packages == {*(package(stem) for _, stem in STEPS), *OUTSIDE}


@pytest.mark.parametrize("package", OUTSIDE)
def test_function_outside_the_state_machine_is_off_by_default_and_has_one_stem(package: str) -> None:
    function, log = RESOURCES[f"{OUTSIDE[package]}Function"], RESOURCES[f"{OUTSIDE[package]}LogGroup"]
    assert function["Condition"] == log["Condition"] in ("HasStream", "HasAlertWebhook")
    assert function["Properties"]["Handler"] == f"{package}.app.handler"
    assert function["Properties"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == package
    assert function["Properties"]["LoggingConfig"] == {"LogGroup": {"Ref": f"{OUTSIDE[package]}LogGroup"}}
    assert (ROOT / "tests" / "unit" / "functions" / f"test_{package}.py").is_file()
    assert TEMPLATE["Parameters"]["StreamIngest"]["Default"] == "DISABLED"
    assert TEMPLATE["Parameters"]["AlertWebhookSecret"]["Default"] == ""


def test_stream_keeps_records_that_cannot_be_read_and_blocks_for_a_bounded_time() -> None:
    assert RESOURCES["PostStream"]["Properties"]["ShardCount"] == 1
    mapping = RESOURCES["IngestStreamMapping"]["Properties"]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BisectBatchOnFunctionError"] is True
    assert 0 < mapping["MaximumRetryAttempts"] < 100
    # The stream itself drops older records.
    assert mapping["MaximumRecordAgeInSeconds"] < RESOURCES["PostStream"]["Properties"]["RetentionPeriodHours"] * 3600
    assert plain(mapping["DestinationConfig"]["OnFailure"]["Destination"]) == "Bucket.Arn"


def test_alert_that_the_webhook_refuses_goes_to_a_queue() -> None:
    invocation = RESOURCES["RelayAlertFunction"]["Properties"]["EventInvokeConfig"]
    assert invocation["MaximumRetryAttempts"] <= 2
    assert plain(invocation["DestinationConfig"]["OnFailure"]["Destination"]) == "AlertDeadLetters.Arn"


# ---- Grants ----------------------------------------------------------------------------------------------------------


def actions_of_the_states(workflow: str) -> Iterator[tuple[str, str]]:
    """List every action of a state with its resource."""
    machine = MACHINES[workflow]
    for _, task in tasks(machine):
        if ":::" in task["Resource"]:
            yield integration(task["Resource"])
    for _, state in states(machine):
        if "ItemReader" in state:
            yield "s3:GetObject", LISTS[workflow]
        if "ResultWriter" in state:
            yield integration(state["ResultWriter"]["Resource"])
    yield from (("lambda:InvokeFunction", f"{stem}Function.Arn") for stem in lambda_tasks(machine).values())
    yield from distributed_map(workflow) | RESULTS


def integration(resource: str) -> tuple[str, str]:
    service, method = resource.split(":::")[1].removeprefix("aws-sdk:").split(":")
    action = f"{service}:{method[0].upper()}{method[1:]}"
    return action, INTEGRATED[action]


def role_statements(workflow: str) -> list[Json]:
    (role,) = RESOURCES[f"{workflow}Role"]["Properties"]["Policies"]
    map_run = RESOURCES[f"{workflow}MapRunPolicy"]["Properties"]
    assert [plain(name) for name in map_run["Roles"]] == [f"{workflow}Role"]
    return [*role["PolicyDocument"]["Statement"], *map_run["PolicyDocument"]["Statement"]]


@pytest.mark.parametrize("workflow", MACHINES)
def test_state_machine_may_do_what_its_states_do_and_nothing_more(workflow: str) -> None:
    granted = {grant for s in role_statements(workflow) if s["Sid"] not in PLATFORM for grant in grants(s)}
    assert granted == set(actions_of_the_states(workflow))


@pytest.mark.parametrize("workflow", MACHINES)
def test_state_machine_has_no_other_grants_for_the_platform(workflow: str) -> None:
    platform = [statement for statement in role_statements(workflow) if statement["Sid"] in PLATFORM]
    services = {(action.split(":")[0], resource) for one in platform for action, resource in grants(one)}
    assert services == {("logs", "*"), ("xray", "*"), ("kms", "TopicKey.Arn")}


def test_log_of_an_erasure_has_no_request() -> None:
    """The request names a person, and an operator may keep logs for a year."""
    assert RESOURCES["Erasure"]["Properties"]["Logging"]["IncludeExecutionData"] is False


def test_only_functions_of_the_erasure_delete_what_is_stored() -> None:
    """Map Keys closes batches, and Transform may replace its parts."""
    may_delete = {
        name.removesuffix("Function")
        for name, function in of_type("AWS::Serverless::Function").items()
        for policy in function["Properties"].get("Policies", [])
        for statement in policy["Statement"]
        for action, _ in grants(statement)
        if "Delete" in action
    }
    assert may_delete <= {"MapKeys", *lambda_tasks(MACHINES["Erasure"]).values()}


def test_fetch_may_ask_about_runs_of_this_state_machine_and_no_others() -> None:
    policy = RESOURCES["FetchLeasePolicy"]["Properties"]
    assert [plain(name) for name in policy["Roles"]] == ["FetchFunctionRole"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert grants(statement) == {("states:DescribeExecution", EXECUTIONS % "ImagePipeline" + ":*")}


def test_role_can_reach_the_objects_of_its_maps() -> None:
    run = Run(
        run_id="r", execution_arn="a", dt="2026-01-01", batch_size=1, posts_per_feed=1, failure_tolerance_percent=0
    )
    writer = dict(states(MACHINE))["For Each Batch"]["ResultWriter"]["Parameters"]["Prefix.$"]
    for key, pattern in (
        (object_keys.batch_list(run, "feed"), LISTS["ImagePipeline"]),
        (object_keys.erasure_list("id", "files"), LISTS["Erasure"]),
        (object_keys.rebuild_list("id"), LISTS["Rebuild"]),
        (writer.removeprefix("States.Format('"), INTEGRATED["s3:PutObject"]),
    ):
        assert fnmatchcase(key, pattern.removeprefix("${Bucket.Arn}/"))


def statement_of(function: str, sid: str) -> Json:
    policies = RESOURCES[f"{function}Function"]["Properties"]["Policies"]
    statements = {statement["Sid"]: statement for policy in policies for statement in policy["Statement"]}
    return dict(statements[sid])


def secrets_of(networks: list[str], action: str, *suffixes: str) -> set[tuple[str, str]]:
    secret = ARN % "secretsmanager" + "secret:${AWS::StackName}/"
    # Secrets Manager appends a dash and six letters to the name.
    return {(action, f"{secret}{name}{suffix}") for name in networks for suffix in (*suffixes, "-??????")}


def test_fetch_may_read_the_secrets_of_networks_and_no_others() -> None:
    networks = [name for name, source in SOURCES.items() if isinstance(source, Authorized)]
    assert grants(statement_of("Fetch", "ReadCredentials")) == secrets_of(networks, "secretsmanager:GetSecretValue", "")


def test_fetch_may_write_the_secrets_whose_adapters_keep_renewed_credentials() -> None:
    networks = [name for name, source in SOURCES.items() if isinstance(source, Authorized) and source.keeps_renewed]
    assert grants(statement_of("Fetch", "StoreRenewedToken")) == secrets_of(networks, "secretsmanager:PutSecretValue")


def test_transform_may_read_the_secrets_whose_adapters_refresh_image_urls() -> None:
    refreshing = [name for name, source in SOURCES.items() if isinstance(source, RefreshesUrls)]
    networks = [name for name in refreshing if isinstance(SOURCES[name], Authorized)]
    granted = grants(statement_of("Transform", "RefreshExpiredImageUrls"))
    assert granted == secrets_of(networks, "secretsmanager:GetSecretValue")


def test_every_statement_has_a_sid() -> None:
    policies = [p for f in of_type("AWS::Serverless::Function").values() for p in f["Properties"].get("Policies", [])]
    of_roles = [statement for workflow in MACHINES for statement in role_statements(workflow)]
    assert all(s.get("Sid") for s in (*of_roles, *(s for policy in policies for s in policy["Statement"])))


# ---- The dataset -----------------------------------------------------------------------------------------------------

TABLE = RESOURCES["GlueImagesTable"]["Properties"]["TableInput"]


def test_glue_table_has_the_columns_of_the_row_contract() -> None:
    partitions = [(key["Name"], key["Type"]) for key in TABLE["PartitionKeys"]]
    assert partitions == [("source", "string"), ("dt", "string")]
    columns = [(column["Name"], column["Type"]) for column in TABLE["StorageDescriptor"]["Columns"]]
    assert columns == [(c.name, c.type) for c in COLUMNS if c.name not in ("source", "dt")]


def test_glue_table_projects_every_network() -> None:
    template = (ROOT / "template.yaml").read_text("utf-8")
    assert template == with_networks(template), "run make docs"


def test_glue_table_projects_the_days_that_check_input_accepts() -> None:
    assert TABLE["Parameters"]["projection.dt.range"] == f"{FIRST_DAY},NOW+{DAYS_AHEAD}DAYS"


def test_glue_table_has_the_location_of_the_files() -> None:
    zone = "s3://${Bucket}/lake/images/"
    assert plain(TABLE["StorageDescriptor"]["Location"]) == zone
    assert plain(TABLE["Parameters"]["storage.location.template"]) == f"{zone}source=${{!source}}/dt=${{!dt}}"


# ---- Safe settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("section", ["Parameters", "Outputs"])
def test_every_parameter_and_output_has_a_description(section: str) -> None:
    assert [name for name, entry in TEMPLATE[section].items() if not entry.get("Description")] == []


def test_resources_with_data_outlive_the_stack() -> None:
    kept = {name for name, resource in RESOURCES.items() if resource.get("DeletionPolicy") == "Retain"}
    with_data = ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::SecretsManager::Secret")
    assert kept == {name for kind in with_data for name in of_type(kind)}
    assert all(RESOURCES[name]["UpdateReplacePolicy"] == "Retain" for name in kept)


def test_bucket_keeps_overwritten_objects() -> None:
    assert RESOURCES["Bucket"]["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}


# Policies of resources, and what each refuses without TLS.
TLS_ONLY = {
    "BucketPolicy": {("s3:*", "Bucket.Arn"), ("s3:*", "${Bucket.Arn}/*")},
    "TopicPolicy": {("sns:Publish", "Topic")},
    "ScheduleDeadLettersPolicy": {("sqs:*", "ScheduleDeadLetters.Arn")},
    "AlertDeadLettersPolicy": {("sqs:*", "AlertDeadLetters.Arn")},
}


def policy_statement(policy: str, sid: str) -> Json:
    statements: list[Json] = RESOURCES[policy]["Properties"]["PolicyDocument"]["Statement"]
    (statement,) = [statement for statement in statements if statement["Sid"] == sid]
    return statement


@pytest.mark.parametrize("policy", TLS_ONLY)
def test_resource_answers_over_tls_only(policy: str) -> None:
    statement = policy_statement(policy, "TlsOnly")
    assert statement["Effect"] == "Deny"
    assert statement["Principal"] == "*"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert grants(statement) == TLS_ONLY[policy]


def test_every_bucket_topic_and_queue_demands_tls_and_only_these_policies_are_left_out_locally() -> None:
    closed = {
        plain(of)
        for policy in TLS_ONLY
        for name in ("Bucket", "Topics", "Queues")
        for of in listed(RESOURCES[policy]["Properties"].get(name, []))
    }
    kinds = ("AWS::S3::Bucket", "AWS::SNS::Topic", "AWS::SQS::Queue")
    assert closed == {name for kind in kinds for name in of_type(kind)}
    assert {*ONLY_WITH_TLS} == {*TLS_ONLY}


def test_transform_may_not_replace_a_raw_image() -> None:
    statement = policy_statement("BucketPolicy", "TransformReplacesNoRawImage")
    assert (statement["Effect"], plain(statement["Principal"]["AWS"])) == ("Deny", "TransformFunctionRole.Arn")
    assert statement["Condition"] == {"Null": {"s3:if-none-match": "true"}}
    assert grants(statement) == {("s3:PutObject", "${Bucket.Arn}/raw/images/*")}


def test_tables_have_point_in_time_recovery() -> None:
    for table in of_type("AWS::DynamoDB::Table").values():
        recovery = table["Properties"]["PointInTimeRecoverySpecification"]
        assert recovery["PointInTimeRecoveryEnabled"] is True
        assert plain(recovery["RecoveryPeriodInDays"]) == "PointInTimeRecoveryDays"


SCHEDULES = of_type("AWS::Scheduler::Schedule")


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_schedule_retries_and_has_no_fixed_name(schedule: Json) -> None:
    properties = schedule["Properties"]
    target = properties["Target"]
    # With a fixed name, a second stack in the account could not be deployed.
    assert "Name" not in properties
    assert properties["FlexibleTimeWindow"]["Mode"] == "FLEXIBLE"
    assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0
    assert plain(target["DeadLetterConfig"]["Arn"]) == "ScheduleDeadLetters.Arn"


def test_all_schedules_have_one_state_and_one_time_zone() -> None:
    assert set(SCHEDULES) == {"DailySchedule", "FrequentSchedule"}
    assert {plain(s["Properties"]["State"]) for s in SCHEDULES.values()} == {"ScheduleState"}
    assert {plain(s["Properties"]["ScheduleExpressionTimezone"]) for s in SCHEDULES.values()} == {"ScheduleTimeZone"}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_sends_only_fields_of_the_input(name: str) -> None:
    run_input = json.loads(plain(SCHEDULES[name]["Properties"]["Target"]["Input"]))
    assert run_input["schedule"] == name.removesuffix("Schedule").lower()
    assert run_input.keys() <= RunInput.model_fields.keys()


def test_schedules_may_start_a_run_and_keep_failed_starts() -> None:
    (policy,) = RESOURCES["ScheduleRole"]["Properties"]["Policies"]
    granted = {grant for statement in policy["PolicyDocument"]["Statement"] for grant in grants(statement)}
    assert granted == {("states:StartExecution", "ImagePipeline"), ("sqs:SendMessage", "ScheduleDeadLetters.Arn")}


def test_existing_alarms_roll_back_a_gradual_deployment() -> None:
    preference = RESOURCES["LiveAlias"]["Properties"]["DeploymentPreference"]
    # For CloudWatch, an alarm that does not exist is not in alarm.
    assert {plain(alarm) for alarm in preference["Alarms"]} <= of_type("AWS::CloudWatch::Alarm").keys()
    assert plain(preference["StateMachineVersionArn"]) == "LiveVersion"
    for schedule in SCHEDULES.values():
        condition, alias, machine = schedule["Properties"]["Target"]["Arn"]["Fn::If"]
        assert (condition, plain(alias), plain(machine)) == ("HasLiveAlias", "LiveAlias", "ImagePipeline")
    assert {RESOURCES[name]["Condition"] for name in ("LiveVersion", "LiveAlias")} == {"HasLiveAlias"}


@pytest.mark.parametrize(
    ("watches", "expected"),
    [
        (True, ["NoGoodRunHours", "NoGoodRunHours", "1", "breaching"]),
        # No sum is below 0, so this alarm stays OK, with data and without.
        (False, ["1", "1", "0", "notBreaching"]),
    ],
)
def test_alarm_of_missing_runs_is_silent_without_a_schedule_to_watch(watches: bool, expected: list[str]) -> None:
    alarm = RESOURCES["NoGoodRunAlarm"]["Properties"]
    names = ("EvaluationPeriods", "DatapointsToAlarm", "Threshold", "TreatMissingData")
    conditions = {alarm[name]["Fn::If"][0] for name in names}
    assert conditions == {"WatchesForGoodRuns"}
    assert [plain(alarm[name]["Fn::If"][1 if watches else 2]) for name in names] == expected
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html: seven days at most.
    assert TEMPLATE["Parameters"]["NoGoodRunHours"]["MaxValue"] * alarm["Period"] <= 604_800
    default = TEMPLATE["Parameters"]["ScheduleExpression"]["Default"]
    assert TEMPLATE["Parameters"]["NoGoodRunHours"]["Default"] == no_good_run_hours(default)


def test_every_alarm_and_rule_notifies_the_topic() -> None:
    alarms = of_type("AWS::CloudWatch::Alarm").values()
    ended, stopped, events = (
        RESOURCES[name]["Properties"] for name in ("RunEndedRule", "RunStoppedRule", "EventsRule")
    )
    rules = {"RunEndedRule", "RunStoppedRule", "ErasureStoppedRule", "RebuildEndedRule", "EventsRule"}
    assert set(of_type("AWS::Events::Rule")) == rules
    erasure, rebuild = (RESOURCES[name]["Properties"] for name in ("ErasureStoppedRule", "RebuildEndedRule"))
    for rule in (erasure, rebuild):
        assert [plain(target["Arn"]) for target in rule["Targets"]] == ["Topic"]
        assert rule["EventPattern"]["detail"]["status"] == ["TIMED_OUT", "ABORTED"]
    assert [plain(target["Arn"]) for target in events["Targets"]] == ["EventsLogGroup.Arn"]
    assert {plain(target) for alarm in alarms for target in alarm["Properties"]["AlarmActions"]} == {"Topic"}
    # No state of the run can react to these two.
    for rule, status in ((ended, "TIMED_OUT"), (stopped, "ABORTED")):
        assert [plain(target["Arn"]) for target in rule["Targets"]] == ["Topic"]
        assert rule["EventPattern"]["detail"]["status"] == [status]


@pytest.mark.parametrize(("name", "machine"), [("RunFailedAlarm", "ImagePipeline"), ("RebuildFailedAlarm", "Rebuild")])
def test_alarm_follows_a_failed_execution(name: str, machine: str) -> None:
    """It is the only sign if SNS refused the notification of the execution."""
    alarm = RESOURCES[name]["Properties"]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == ("AWS/States", "ExecutionsFailed", "Sum")
    assert [(one["Name"], plain(one["Value"])) for one in alarm["Dimensions"]] == [("StateMachineArn", machine)]
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (1, "GreaterThanOrEqualToThreshold")
    # A rebuild is rare, so most of the time there is no data.
    assert alarm["TreatMissingData"] == "notBreaching"


def rule_text(name: str) -> str:
    """The text of a rule, in which its link has a domain."""
    (target,) = RESOURCES[name]["Properties"]["Targets"]
    text, _ = target["InputTransformer"]["InputTemplate"]["Fn::Sub"]
    return str(text)


@pytest.mark.parametrize("name", ["RunEndedRule", "RunStoppedRule", "ErasureStoppedRule", "RebuildEndedRule"])
def test_text_of_a_rule_has_quotes_around_each_line(name: str) -> None:
    """EventBridge refuses a text without them: each line is a JSON text of its own."""
    lines = [json.loads(line) for line in rule_text(name).splitlines()]
    assert [line for line in lines if not line.startswith(" ")][1:] == ["Where to look:", "How to resume:"]


def test_run_that_somebody_stopped_is_not_to_be_continued() -> None:
    assert "redrive-execution --execution-arn <arn>" in rule_text("RunEndedRule")
    assert "redrive" not in rule_text("RunStoppedRule")
    assert "FAILED" not in rule_text("RunStoppedRule")


@pytest.mark.parametrize("character", ["'", '"', "{", "}", "\\", "<", ">", " ", "\n", "é"])
def test_runbook_url_cannot_break_the_texts_that_it_becomes_part_of(character: str) -> None:
    pattern = TEMPLATE["Parameters"]["RunbookUrl"]["AllowedPattern"]
    assert re.fullmatch(pattern, "https://example.com/a_b/docs/runbook.md?x=1#how-to")
    assert not re.fullmatch(pattern, f"https://example.com/{character}")


def test_template_and_code_have_the_same_consoles() -> None:
    consoles = {partition: names["Domain"] for partition, names in TEMPLATE["Mappings"]["Console"].items()}
    assert consoles == DOMAINS


def test_counters_of_budgets_expire() -> None:
    table = RESOURCES["BookmarksTable"]["Properties"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    commit = next(state for name, state in states(MACHINE) if name == "Commit Bookmark")
    assert "expires_at" not in commit["Parameters"]["UpdateExpression"], "a bookmark must not expire"
