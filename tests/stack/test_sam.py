"""The way to AWS: the unmodified SAM CLI builds the bundle and deploys it, here to the local engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.engine import Engine

ROOT = Path(__file__).parents[2]
SAM = Path(sys.executable).with_name("sam")
RUNTIME = "python3.13"
# Lambda takes 262 MB with its layers, of which the managed layer is up to 214.
BUNDLE_MB = 45


def _sam(*arguments: str, env: dict[str, str]) -> str:
    done = subprocess.run([str(SAM), *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder ``sam build`` leaves."""
    found = shutil.which(RUNTIME)
    if found is None or subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"{RUNTIME} is not on PATH, and sam build needs the interpreter of the Lambda runtime")
    folder = tmp_path_factory.mktemp("build")
    env = os.environ | {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"}
    _sam("build", "--build-dir", str(folder), "--no-cached", env=env)
    return folder


def test_bundle_stays_small_and_holds_nothing_of_the_layer(built: Path) -> None:
    bundle = built / "TransformFunction"
    size = sum(file.stat().st_size for file in bundle.rglob("*") if file.is_file())
    assert size <= BUNDLE_MB * 1_000_000, size
    assert (bundle / "transform" / "app.py").is_file()
    assert not [name for name in ("numpy", "pandas", "pyarrow", "awswrangler", "boto3") if (bundle / name).exists()]


def test_built_template_deploys_with_the_sam_cli(built: Path, tmp_path: Path) -> None:
    with Engine(tmp_path) as engine:
        # The public parameter of AWS's layer exists on AWS only.
        layer = "arn:aws:lambda:us-east-1:336392948345:layer:AWSSDKPandas-Python313:11"
        engine.client("ssm").put_parameter(Name="/layer-arn", Value=layer, Type="String")
        env = engine.environment() | {"SAM_CLI_TELEMETRY": "0"}
        _sam(
            "deploy",
            *("--config-file", str(ROOT / "samconfig.toml")),
            *("--template-file", str(built / "template.yaml")),
            *("--parameter-overrides", "PandasLayer=/layer-arn"),
            "--no-confirm-changeset",
            "--no-progressbar",
            env=env,
        )
        stack = engine.client("cloudformation").describe_stacks(StackName="imagelake")["Stacks"][0]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        machine = engine.client("stepfunctions").describe_state_machine(stateMachineArn=outputs["StateMachineArn"])
        assert "${" not in machine["definition"]
