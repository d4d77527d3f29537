"""The parts list of bundle and layer, as CycloneDX: ``python -m tools.sbom .aws-sam/build`` writes it there.

It lists what SAM has built in, not what was asked for. Wheels say of themselves what is compiled into them, such as
libjpeg and libavif (https://peps.python.org/pep-0770/); that is nested in their entries.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

ROOT = Path(__file__).parents[1]
# What these wheels do not say of themselves, as their sources have it.
SILENT = {
    "pyspng==0.1.4": {"libspng": "0.7.4", "zlib": "1.2.11"},
    "deflate==0.9.0": {"libdeflate": "1.25"},
}
LOCKS = [ROOT / "functions" / "requirements.txt", *ROOT.glob("layers/*/requirements.txt")]


def bill(build: Path) -> Bom:
    """What the functions and layers in a build folder carry; a package that is not in the lock is a ``KeyError``.

    The file that pip took is one of those whose hashes are given.
    """
    folders = [str(folder) for folder in (*build.iterdir(), *build.glob("*/python"))]
    carried = {_pin(found): found for found in distributions(path=folders)}.values()
    locked = _locked()
    bom = Bom()
    bom.metadata.component = Component(name="imagelake", type=ComponentType.APPLICATION)
    bom.components = [_component(found, locked[_pin(found)]) for found in carried]
    bom.register_dependency(bom.metadata.component, bom.components)
    return bom


def _locked() -> dict[str, list[str]]:
    text = "".join(lock.read_text() for lock in LOCKS)
    pins = re.findall(r"^([\w.-]+==[\w.]+).*((?:\n    --hash=sha256:\w+.*)+)", text, re.MULTILINE)
    return {pin: re.findall(r"sha256:(\w+)", hashes) for pin, hashes in pins}


def _pin(found: Distribution) -> str:
    return f"{_normal(found.name)}=={found.version}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _component(found: Distribution, hashes: list[str]) -> Component:
    name = _normal(found.name)
    said = found.metadata["License-Expression"] or found.metadata["License"]
    source = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(f"https://pypi.org/project/{name}/{found.version}/"),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content) for content in hashes],
    )
    return Component(
        name=name,
        version=found.version,
        purl=PackageURL("pypi", name=name, version=found.version),
        licenses=[LicenseFactory().make_from_string(said)] if said else [],
        external_references=[source],
        components=_compiled_in(found),
    )


def _compiled_in(found: Distribution) -> Iterator[Component]:
    for name, version in SILENT.get(_pin(found), {}).items():
        yield Component(name=name, version=version)
    for file in found.files or []:
        if file.parent.name == "sboms":
            for part in json.loads(file.read_text())["components"]:
                purl = PackageURL.from_string(part["purl"]) if "purl" in part else None
                yield Component(name=part["name"], version=part.get("version"), purl=purl)


def main(build: Path) -> None:
    text = make_outputter(bill(build), OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    (build / "sbom.cdx.json").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
