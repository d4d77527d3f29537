"""The way to AWS: the unmodified SAM CLI builds the bundle and deploys it, here to the local engine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from operator import itemgetter
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from imagelake import __version__
from local.engine import Engine
from local.package import read_template
from tools.package import main as package_main
from tools.package import package
from tools.sbom import sbom

ROOT = Path(__file__).parents[3]
SAM = Path(sys.executable).with_name("sam")
RUNTIME = "python3.13"
# Lambda takes 262 MB with the layers, of which the managed one is up to 214.
BUNDLE_MB = 15
LAYER_MB = 95


def _sam(*arguments: str, env: dict[str, str]) -> str:
    done = subprocess.run([str(SAM), *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _make_build(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``make build`` into ``folder``, with other arguments and variables than those of the Makefile."""
    found = shutil.which(RUNTIME)
    if found is None or subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"{RUNTIME} is not on PATH, and sam build needs the interpreter of the Lambda runtime")
    given = {"BUILD_DIR": folder, "ARGS": " ".join(("--no-cached", *arguments))} | variables
    # Without this option, make could install packages while other tests run.
    make = ["make", "--old-file=.venv/dev", "build", *(f"{name}={value}" for name, value in given.items())]
    env = os.environ | {"AWS_DEFAULT_REGION": "us-east-1"}
    return subprocess.run(make, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that ``make build`` fills."""
    folder = tmp_path_factory.mktemp("build")
    done = _make_build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@pytest.mark.full
def test_bundle_stays_small_and_holds_nothing_of_the_layers(built: Path) -> None:
    bundle = built / "TransformFunction"
    assert _size(bundle) <= BUNDLE_MB * 1_000_000, _size(bundle)
    assert (bundle / "transform" / "app.py").is_file()
    arrow = ("pandas", "pyarrow", "awswrangler")
    elsewhere = ("numpy", "PIL", "cykooz_resizer", "deflate", "pyspng", "simplejpeg", *arrow, "boto3")
    assert not [name for name in elsewhere if (bundle / name).exists()]


@pytest.mark.full
def test_layer_holds_what_imaging_computes_with(built: Path) -> None:
    layer = built / "ImagingLayer" / "python"
    assert _size(layer) <= LAYER_MB * 1_000_000, _size(layer)
    script = """if True:
        import io
        from imagelake import imaging
        from imagelake.imaging import png, resize, webp
        from PIL import Image
        assert png.pyspng and resize.simd and webp._decode
        file = io.BytesIO()
        Image.new("RGB", (1024, 768), (10, 20, 30)).save(file, "PNG")
        made = imaging.process(file.getvalue())
        print(made.width, made.height, *made.dominant_colors)
    """
    env = os.environ | {"PYTHONPATH": f"{layer}:{built / 'TransformFunction'}"}
    done = subprocess.run([RUNTIME, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("512 384 #0a141e\n", "")


@pytest.mark.full
def test_sbom_lists_what_is_in_the_bundle(built: Path) -> None:
    text = (built / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert json.loads(text)["metadata"]["component"]["version"] == __version__
    listed = {part["name"]: part for part in json.loads(text)["components"]}
    folders = [*built.glob("*Function/*.dist-info"), *built.glob("*Layer/python/*.dist-info")]
    carried = {folder.name.split("-")[0].replace("_", "-") for folder in folders}
    assert listed.keys() == carried
    assert all(part["purl"] == f"pkg:pypi/{name}@{part['version']}" for name, part in listed.items())
    assert all(part["externalReferences"][0]["hashes"] for part in listed.values())
    # Advisories on image formats are about the libraries that are compiled in.
    compiled_in = {part["name"] for package in listed.values() for part in package.get("components", [])}
    assert {"libavif", "libwebp", "libtiff", "libspng", "zlib", "libdeflate"} <= compiled_in


def test_sbom_names_a_package_and_the_libraries_that_are_compiled_into_it(tmp_path: Path) -> None:
    (metadata,) = [file for file in distribution("pillow").files or [] if file.name == "METADATA"]
    info = Path(metadata.locate()).parent
    shutil.copytree(info, tmp_path / "ImagingLayer" / "python" / info.name)
    (part,) = sbom(tmp_path).components
    assert f"{part.name}-{part.version}.dist-info" == info.name
    assert part.external_references[0].hashes
    assert {"libavif", "libwebp", "libtiff"} <= {library.name for library in part.components}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the files that ``sam build`` reads, so that a test can spoil it; its one package is Pillow."""
    for folder in ("functions", "layers", "statemachine"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "template.yaml", tmp_path)
    lock = tmp_path / "layers" / "imaging" / "requirements.txt"
    pin = re.search(r"^pillow==.*(\n +--hash.*)+", lock.read_text(), re.MULTILINE)
    assert pin
    for spoilt in (lock, tmp_path / "functions" / "requirements.txt"):
        spoilt.write_text(pin[0])
    return tmp_path


def _pip_of_the_build(requirement: str, wheels: Path) -> str:
    """Give pip a requirement under the variables of ``make build``, without SAM and the internet; return its output."""
    make = ["make", "--dry-run", "--old-file=.venv/dev", "build"]
    lines = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    (line,) = [line for line in lines if " build --build-dir " in line]
    variables = dict(word.split("=", 1) for word in shlex.split(line) if word.startswith("PIP_"))
    assert variables.keys() == {"PIP_REQUIRE_HASHES", "PIP_ONLY_BINARY", "PIP_PLATFORM"}
    lock = wheels.with_name("requirements.txt")
    lock.write_text(requirement)
    command = ["pip", "download", "--no-index", "--no-deps", "--python-version=3.13", f"--find-links={wheels}"]
    options = [f"--requirement={lock}", f"--dest={wheels.with_name('downloaded')}"]
    env = os.environ | variables
    done = subprocess.run([sys.executable, "-m", *command, *options], env=env, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_pip_of_the_build_refuses_a_tampered_and_a_missing_hash(tmp_path: Path) -> None:
    wheel = tmp_path / "wheels" / "tiny-1.0-cp313-cp313-manylinux_2_34_x86_64.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    said = _pip_of_the_build(f"tiny==1.0 --hash=sha256:{digest[::-1]}", wheel.parent)
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in said
    assert "Hashes are required" in _pip_of_the_build("tiny==1.0", wheel.parent)
    assert not (tmp_path / "downloaded" / wheel.name).exists()
    assert "Successfully downloaded tiny" in _pip_of_the_build(f"tiny==1.0 --hash=sha256:{digest}", wheel.parent)


@pytest.mark.full
@pytest.mark.parametrize("folder", ["functions", "layers/imaging"])
def test_tampered_hash_fails_the_build(project: Path, folder: str) -> None:
    lock = project / folder / "requirements.txt"
    # A digit of every hash, because pip takes one file of many.
    lock.write_text(re.sub(r"(?<=sha256:)\w", lambda digit: "1" if digit[0] == "0" else "0", lock.read_text()))
    done = _make_build(project / "build", f"--template-file={project}/template.yaml")
    assert done.returncode != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
    assert not (project / "build" / "sbom.cdx.json").exists()


@pytest.mark.full
def test_wheel_without_a_hash_fails_the_build(project: Path) -> None:
    """On a machine of another kind, SAM asks pip again, by name and version, and so without the hash."""
    template = (project / "template.yaml").read_text()
    (project / "template.yaml").write_text(template.replace("Architectures: [x86_64]", "Architectures: [arm64]"))
    done = _make_build(project / "build", f"--template-file={project}/template.yaml", WHEELS="")
    assert done.returncode != 0
    assert "ResolveDependencies - {pillow==" in done.stderr


@pytest.mark.full
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
        for name in ("TransformFunction", "ReportFunction"):
            found = engine.client("cloudformation").describe_stack_resource(
                StackName="imagelake", LogicalResourceId=name
            )["StackResourceDetail"]
            function = engine.client("lambda").get_function_configuration(FunctionName=found["PhysicalResourceId"])
            assert [arn.split(":")[6] for arn in map(itemgetter("Arn"), function["Layers"])] == ["imagelake-imaging"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        machine = engine.client("stepfunctions").describe_state_machine(stateMachineArn=outputs["StateMachineArn"])
        assert "${" not in machine["definition"]


@pytest.mark.full
def test_package_uploads_the_template_for_terraform(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Engine(tmp_path) as engine:
        for name, value in engine.environment().items():
            monkeypatch.setenv(name, value)
        engine.client("s3").create_bucket(Bucket="artifacts")
        urls = [package(built / "template.yaml", "artifacts") for _ in range(2)]
        assert re.fullmatch(
            r"https://artifacts\.s3\.us-east-1\.amazonaws\.com/imagelake/template-\w{16}\.yaml", urls[0]
        )
        assert urls[1] == urls[0]
        key = urls[0].split("/", 3)[3]
        (tmp_path / "template.yaml").write_bytes(
            engine.client("s3").get_object(Bucket="artifacts", Key=key)["Body"].read()
        )
        resources = read_template(tmp_path / "template.yaml")["Resources"]
        code = {
            one["Properties"]["CodeUri"] for one in resources.values() if one["Type"] == "AWS::Serverless::Function"
        }
        assert code
        assert all(uri.startswith("s3://artifacts/imagelake/") for uri in code)
        assert package_main([str(built / "template.yaml"), "nosuch"]) == 1
        assert package_main([str(built / "template.yaml"), ""]) == 1
        assert "make package BUCKET=" in capsys.readouterr().err
