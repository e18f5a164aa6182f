"""Writes the bill of materials of a running Co-Pilot as CycloneDX JSON: what requirements/run.lock names, with the hashes of its
files from there, and with licences and dependencies from an environment in which it is installed.

    python tools/sbom.py PYTHON FILE      PYTHON: of that environment; run it with the Python of requirements/tools.lock
"""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements" / "run.lock"
VERSION = "1.6"  # of CycloneDX


def main(python: str, target: Path) -> int:
    """Write the file. Exit status 1 if it would be no CycloneDX, or names a package without a licence or hash."""
    locked = _described("requirements", str(LOCK))
    found = {_key(one): one for one in _described("environment", python)["components"]}
    installed = [one for one in locked["components"] if _key(one) in found]
    refs = {found[_key(one)]["bom-ref"]: one["bom-ref"] for one in installed}
    for one in installed:
        one["licenses"] = found[_key(one)].get("licenses", [])
    bom = {**locked, "components": installed}
    bom["metadata"]["component"] = own = _ourselves()
    bom["dependencies"] = [
        {"ref": own["bom-ref"], "dependsOn": sorted(refs.values())},
        *_dependencies(_described("environment", python), refs),
    ]
    bare = [one["name"] for one in installed if not one["licenses"] or "hashes" not in json.dumps(one)]
    wrong = JsonStrictValidator(SchemaVersion.from_version(VERSION)).validate_str(json.dumps(bom))
    if bare or wrong:
        sys.stderr.write(f"{target}: without licence or hash: {bare}; against the schema: {wrong}\n")
        return 1
    target.write_text(json.dumps(bom, indent=1, sort_keys=True) + "\n")
    sys.stdout.write(f"{target}: CycloneDX {VERSION}, {len(installed)} packages\n")
    return 0


def _described(*what: str) -> dict[str, Any]:
    argv = [
        sys.executable,
        "-m",
        "cyclonedx_py",
        what[0],
        "--spec-version",
        VERSION,
        "--output-reproducible",
        what[1],
    ]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    bom: dict[str, Any] = json.loads(done.stdout)
    return bom


def _dependencies(bom: dict[str, Any], refs: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "ref": refs[one["ref"]],
            "dependsOn": sorted(refs[ref] for ref in one.get("dependsOn", ()) if ref in refs),
        }
        for one in bom["dependencies"]
        if one["ref"] in refs
    ]


def _ourselves() -> dict[str, Any]:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    facts = setup["metadata"]
    return {
        "type": "application",
        "bom-ref": facts["name"],
        "name": facts["name"],
        "version": facts["version"],
        "description": facts["description"],
        "licenses": [{"license": {"id": facts["license"]}}],
    }


def _key(component: dict[str, Any]) -> tuple[str, str]:
    """Name and version, however the name is spelled."""
    return re.sub(r"[-_.]+", "-", component["name"]).lower(), component["version"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
