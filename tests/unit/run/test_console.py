"""URLs of the console, in every partition. The forms are those that the console itself shows in a browser."""

from __future__ import annotations

import pytest

from imagelake.run.console import Console

ARN = "arn:{}:states:{}:123456789012:execution:ImagePipeline:daily"


@pytest.mark.parametrize(
    ("partition", "region", "host"),
    [
        ("aws", "us-east-1", "us-east-1.console.aws.amazon.com"),
        ("aws", "eu-central-1", "eu-central-1.console.aws.amazon.com"),
        ("aws-cn", "cn-north-1", "cn-north-1.console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
        # A partition that we do not know has no better guess.
        ("aws-new", "new-1", "new-1.console.aws.amazon.com"),
    ],
)
def test_urls_are_in_the_region_and_the_partition_of_the_arn(partition: str, region: str, host: str) -> None:
    arn = ARN.format(partition, region)
    console = Console.of(arn)
    assert console.execution(arn) == f"https://{host}/states/home?region={region}#/v2/executions/details/{arn}"
    assert console.object("lake", "a/b.html") == f"https://{host}/s3/object/lake?region={region}&prefix=a/b.html"
    assert console.folder("lake", "a/") == f"https://{host}/s3/buckets/lake?region={region}&prefix=a/"
    assert console.alarm("RunFailed") == f"https://{host}/cloudwatch/home?region={region}#alarmsV2:alarm/RunFailed"


@pytest.mark.parametrize("name", ["день", "a b", "100%", "a&b=c", "(x)"])
def test_url_ends_where_the_link_ends_whatever_the_name(name: str) -> None:
    console = Console.of(ARN.format("aws", "us-east-1"))
    urls = [console.object("lake", name), console.folder("lake", name), console.alarm(name), console.execution(name)]
    assert all(url.isascii() and " " not in url and "&b" not in url for url in urls)


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_lake_on_this_machine_has_no_console(partition: str) -> None:
    """The engine's account is 000000000000; AWS gives it to nobody."""
    arn = f"arn:{partition}:states:us-east-1:000000000000:execution:Machine:run"
    console = Console.of(arn)
    assert console.execution(arn) == arn
    assert console.object("lake", "reports/run/index.html") == "reports/run/index.html"
    assert console.folder("lake", "rejects/") == "rejects/"
