"""Rules for the state machine that linters do not know: each rule holds, and each finds a planted fault."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from statelint.config import Config
from statelint.linter import Linter

from tests.support import asl
from tests.support.asl import DEFINITIONS, MACHINES, RESOURCES, Json, Rule, broken

FEED, BATCH = "For Each Feed", "For Each Batch"
States = dict[str, Json]


TASKS = [(workflow, name) for workflow, machine in MACHINES.items() for name in asl.lambda_tasks(machine)]


@pytest.mark.parametrize("workflow", MACHINES)
@pytest.mark.parametrize("rule", asl.RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Rule, workflow: str) -> None:
    assert rule(MACHINES[workflow]) == []


def also_retry(state: Json, error: str) -> None:
    state["Retry"][0]["ErrorEquals"].append(error)


# The rule, the scope, and a change that breaks the rule.
FAULTS: list[tuple[Rule, str, Callable[[States], object]]] = [
    (asl.every_target_is_in_its_scope, "", lambda s: s["Report"].update(Next="Fetch")),
    (asl.every_target_is_in_its_scope, FEED, lambda s: s["Fetch"]["Catch"][0].update(Next="Pipeline Failed")),
    (asl.every_target_is_in_its_scope, FEED, lambda s: s["Is Complete?"].update(Default="Too Few Failures")),
    (asl.every_target_is_in_its_scope, BATCH, lambda s: s.pop("Transform")),
    (asl.every_state_is_reached, FEED, lambda s: s["Is Rate Limited?"]["Choices"].pop(0)),
    (asl.every_path_ends, FEED, lambda s: s["Feed Failed"].pop("End")),
    (asl.every_path_ends, "", lambda s: s.update({"Pipeline Failed": {"Type": "Pass", "Next": "Notify Failure"}})),
    (asl.names_are_unique_and_say_what_they_are, BATCH, lambda s: s.update({"Fetch": s["Map Keys"]})),
    (asl.names_are_unique_and_say_what_they_are, "", lambda s: s.update({"Any Failures": s["Any Failures?"]})),
    (asl.names_are_unique_and_say_what_they_are, "", lambda s: s.update({"Run complete": s["Run Complete"]})),
    (asl.keys_are_in_order, FEED, lambda s: s["Fetch"].update(Comment=s["Fetch"].pop("Comment"))),
    (asl.keys_are_in_order, FEED, lambda s: s["Fetch"].update(Timeout=1)),
    (asl.every_task_is_limited_retried_and_caught, FEED, lambda s: s["Validate"].pop("TimeoutSeconds")),
    (asl.every_task_is_limited_retried_and_caught, BATCH, lambda s: s["Map Keys"].update(Retry=[])),
    (asl.every_task_is_limited_retried_and_caught, "", lambda s: s["Notify Failure"].pop("Catch")),
    (asl.every_task_is_limited_retried_and_caught, FEED, lambda s: s["For Each Batch"].pop("Catch")),
    (asl.every_retry_is_bounded, BATCH, lambda s: s["Transform"]["Retry"][1].pop("MaxDelaySeconds")),
    (asl.every_retry_is_bounded, FEED, lambda s: s["For Each Batch"]["Retry"][0].pop("JitterStrategy")),
    (asl.nothing_retries_everything, "", lambda s: s["Report"]["Retry"][2].update(ErrorEquals=["States.ALL"])),
    (asl.the_last_catch_takes_the_rest, FEED, lambda s: s["Commit Bookmark"]["Catch"].reverse()),
    (asl.the_last_catch_takes_the_rest, FEED, lambda s: s["Commit Bookmark"]["Catch"].pop()),
    (asl.the_last_catch_takes_the_rest, "", lambda s: s["Report"]["Catch"][0]["ErrorEquals"].append("States.Timeout")),
    (asl.functions_are_retried_on_their_transient_errors, BATCH, lambda s: s["Transform"]["Retry"].pop(0)),
    (asl.functions_are_retried_on_their_transient_errors, "", lambda s: also_retry(s["Check Input"], "BadInputError")),
    (asl.functions_are_retried_on_their_transient_errors, "", lambda s: also_retry(s["Report"], "BatchDeadlineError")),
    (asl.no_failure_ends_as_success, "", lambda s: s["Report"]["Catch"][0].update(Next="Run Complete")),
    (asl.no_failure_ends_as_success, "", lambda s: s["Report"]["Catch"][0].update(Next="Pipeline Failed")),
    (asl.no_failure_ends_as_success, "", lambda s: s["Notify Failure"].update(Next="Run Complete With Warnings")),
    (asl.no_failure_ends_as_success, "", lambda s: s["Notify Warning"]["Catch"][0].update(Next="Run Complete")),
    (asl.no_failure_ends_as_success, "", lambda s: s.update({"Pipeline Failed": {"Type": "Succeed"}})),
    (asl.no_failure_ends_as_success, FEED, lambda s: s["Reconcile"]["Catch"][0].update(Next="Feed Incomplete")),
    (asl.no_failure_ends_as_success, FEED, lambda s: s["Feed Failed"]["Parameters"].update(status="complete")),
    (asl.no_failure_ends_as_success, FEED, lambda s: s["Feed Failed"].pop("End")),
    (asl.no_failure_ends_as_success, BATCH, lambda s: s["Map Keys"]["Catch"][0].update(Next="Batch Closed")),
    (asl.no_failure_ends_as_success, BATCH, lambda s: s["Record Failure"].update(Next="Batch Closed")),
    (asl.no_failure_ends_as_success, BATCH, lambda s: s.update({"Batch Failed": {"Type": "Succeed"}})),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "within", "change"), FAULTS)
def test_rule_finds_a_planted_fault(rule: Rule, within: str, change: Callable[[States], object]) -> None:
    assert rule(broken(change, within)) != []


def test_every_rule_has_a_planted_fault() -> None:
    assert {rule for rule, _, _ in FAULTS} == set(asl.RULES)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"a": NaN}', '{"a": 1,}', '{"a": 1} // why'])
def test_strict_json_refuses(text: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        asl.strict_json(text)


@pytest.mark.parametrize(("workflow", "name"), TASKS)
def test_state_waits_longer_than_its_function_may_run(workflow: str, name: str) -> None:
    machine = MACHINES[workflow]
    function = RESOURCES[f"{asl.lambda_tasks(machine)[name]}Function"]["Properties"]
    assert dict(asl.tasks(machine))[name]["TimeoutSeconds"] > function["Timeout"]


@pytest.mark.parametrize("workflow", MACHINES)
def test_template_gives_exactly_the_substitutions_that_are_used(workflow: str) -> None:
    used = set(re.findall(r"\$\{(\w+)\}", DEFINITIONS[workflow].read_text()))
    assert used == set(RESOURCES[workflow]["Properties"]["DefinitionSubstitutions"])


@pytest.mark.parametrize("workflow", MACHINES)
def test_statelint_finds_only_fields_that_it_does_not_know(workflow: str) -> None:
    arns = {"Partition": "aws", "TopicArn": "arn:aws:sns:us-east-1:123456789012:t"}

    def fill(match: re.Match[str]) -> str:
        function = "arn:aws:lambda:us-east-1:123456789012:function:f"
        return arns.get(match[1], function if match[1].endswith("FunctionArn") else match[1])

    text = re.sub(r"\$\{(\w+)\}", fill, DEFINITIONS[workflow].read_text())
    # Its pattern of a text stops at a line break. Step Functions takes line breaks: only ' { } and \ need an escape.
    # https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html
    text = text.replace(r"\n", " ")
    # AWS's specification of the Distributed Map has both.
    maps = sum("Label" in state for _, state in asl.states(MACHINES[workflow]))
    assert [str(problem).split(" not allowed")[0] for problem in Linter.validate(text, Config())] == [
        'Field "Label"',
        'Field "InputType"',
    ] * maps
