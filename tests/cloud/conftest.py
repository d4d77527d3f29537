"""The stack of these tests, in a real AWS account.

``IMAGELAKE_CLOUD_STACK`` is the name of the stack, which begins with ``imagelake-test``; without it, tests are skipped.
``IMAGELAKE_CLOUD_EMAIL`` is the email address that is notified. ``IMAGELAKE_CLOUD_DEPLOY=0`` uses the stack as it is.
Region and credentials are those of the AWS CLI. A run costs cents; ``make destroy`` removes the stack.
"""

from __future__ import annotations

import os

import pytest

from tests.support.cloud_stack import Cloud, deploy

PREFIX = "imagelake-test"


@pytest.fixture(scope="session")
def cloud() -> Cloud:
    stack = os.environ.get("IMAGELAKE_CLOUD_STACK")
    if not stack:
        pytest.skip("IMAGELAKE_CLOUD_STACK is not set: it names the stack to deploy and test in your AWS account")
    if not stack.startswith(PREFIX):
        pytest.fail(
            f"IMAGELAKE_CLOUD_STACK={stack}: these tests change the stack, so its name has to begin with {PREFIX}"
        )
    if os.environ.get("IMAGELAKE_CLOUD_DEPLOY") != "0":
        deploy(stack)
    return Cloud(stack)
