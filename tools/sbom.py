"""Write the SBOM of bundle and layer as CycloneDX into the build folder; ``make build`` runs it.

It lists the packages that SAM built in, not those that were asked for. Most wheels declare the libraries compiled into
them, such as libjpeg and libavif (https://peps.python.org/pep-0770/); these are nested in the entry of the wheel.
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

from imagelake import __version__

ROOT = Path(__file__).parents[1]
# Libraries in wheels that declare none; the versions are from the sources of the wheels.
UNDECLARED = {
    "pyspng==0.1.4": {"libspng": "0.7.4", "zlib": "1.2.11"},
    "deflate==0.9.0": {"libdeflate": "1.25"},
    "simplejpeg==1.9.0": {"libjpeg-turbo": "3.1.2"},
}
LOCKS = [ROOT / "functions" / "requirements.txt", *ROOT.glob("layers/*/requirements.txt")]


def sbom(build: Path) -> Bom:
    """List the packages in the functions and layers of a build folder; a package outside the lock is a ``KeyError``.

    An entry has the hashes of all files in the lock. The file that pip installed is one of them.
    """
    folders = [str(folder) for folder in (*build.iterdir(), *build.glob("*/python"))]
    packages = {_pin(package): package for package in distributions(path=folders)}.values()
    hashes = _locked_hashes()
    bom = Bom()
    bom.metadata.component = Component(name="imagelake", version=__version__, type=ComponentType.APPLICATION)
    bom.components = [_component(package, hashes[_pin(package)]) for package in packages]
    bom.register_dependency(bom.metadata.component, bom.components)
    return bom


def _locked_hashes() -> dict[str, list[str]]:
    text = "".join(lock.read_text() for lock in LOCKS)
    pins = re.findall(r"^([\w.-]+==[\w.]+).*((?:\n    --hash=sha256:\w+.*)+)", text, re.MULTILINE)
    return {pin: re.findall(r"sha256:(\w+)", hashes) for pin, hashes in pins}


def _pin(package: Distribution) -> str:
    return f"{_normalized(package.name)}=={package.version}"


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _component(package: Distribution, hashes: list[str]) -> Component:
    name = _normalized(package.name)
    license_text = package.metadata["License-Expression"] or package.metadata["License"]
    source = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(f"https://pypi.org/project/{name}/{package.version}/"),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content) for content in hashes],
    )
    return Component(
        name=name,
        version=package.version,
        purl=PackageURL("pypi", name=name, version=package.version),
        licenses=[LicenseFactory().make_from_string(license_text)] if license_text else [],
        external_references=[source],
        components=_compiled_in(package),
    )


def _compiled_in(package: Distribution) -> Iterator[Component]:
    for name, version in UNDECLARED.get(_pin(package), {}).items():
        yield Component(name=name, version=version)
    for file in package.files or []:
        if file.parent.name == "sboms":
            for library in json.loads(file.read_text())["components"]:
                purl = PackageURL.from_string(library["purl"]) if "purl" in library else None
                yield Component(name=library["name"], version=library.get("version"), purl=purl)


def main(build: Path) -> None:
    text = make_outputter(sbom(build), OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    (build / "sbom.cdx.json").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
