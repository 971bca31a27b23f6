"""The manifest for Kubernetes has the structure that the custom resource definition of KubeRay's RayJob demands.

Checked are the fields that the manifest uses, by the types and required fields of ray.io/v1, and that no field is
unknown: an operator would refuse it, or ignore it. A cluster is not asked.
"""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from selfcodealign.cli import COMMANDS
from tests.support.places import ROOT

MANIFEST = ROOT / "examples" / "kubernetes" / "rayjob.yaml"


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    """An object with these fields and no other."""
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


TEXT, COUNT = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}
NUMBER = {"type": "number", "minimum": 0}
#: Parameters of `ray start`: all texts, numbers too.
START = {"type": "object", "additionalProperties": {"type": "string"}}
QUANTITIES = {
    "type": "object",
    "additionalProperties": {"type": ["string", "integer"], "pattern": r"^\d+(\.\d+)?(m|[kMGT]i?)?$"},
}
CONTAINER = closed(
    ["name", "image"],
    name={"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
    image=TEXT,
    resources=closed([], requests=QUANTITIES, limits=QUANTITIES),
    volumeMounts={"type": "array", "items": closed(["name", "mountPath"], name=TEXT, mountPath=TEXT)},
)
VOLUME = closed(["name"], name=TEXT, persistentVolumeClaim=closed(["claimName"], claimName=TEXT))
TEMPLATE = closed(
    ["spec"],
    spec=closed(
        ["containers"],
        containers={"type": "array", "minItems": 1, "items": CONTAINER},
        volumes={"type": "array", "items": VOLUME},
    ),
)
WORKERS = closed(
    ["groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"],
    groupName=TEXT,
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    rayStartParams=START,
    template=TEMPLATE,
)
CLUSTER = closed(
    ["headGroupSpec"],
    headGroupSpec=closed(["rayStartParams", "template"], rayStartParams=START, template=TEMPLATE),
    workerGroupSpecs={"type": "array", "items": WORKERS},
)
RAY_JOB = closed(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=closed(["name"], name=TEXT),
    # `entrypoint` is required in the mode of submission that is the default.
    spec=closed(
        ["entrypoint", "rayClusterSpec"],
        entrypoint=TEXT,
        entrypointNumCpus=NUMBER,
        shutdownAfterJobFinishes={"type": "boolean"},
        rayClusterSpec=CLUSTER,
    ),
)


@pytest.fixture
def manifest() -> dict[str, Any]:
    """The manifest as Kubernetes reads it."""
    read: dict[str, Any] = yaml.safe_load(MANIFEST.read_text())
    return read


def test_the_manifest_is_a_ray_job(manifest: dict[str, Any]) -> None:
    """Its fields are those of a RayJob; without a required one, or with a misspelt one, it is none."""
    schema = Draft202012Validator(RAY_JOB)
    schema.validate(manifest)
    group = manifest["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    group["maxReplica"] = group.pop("maxReplicas")
    with pytest.raises(ValidationError, match="maxReplica"):
        schema.validate(manifest)


def test_the_parts_of_the_manifest_fit(manifest: dict[str, Any]) -> None:
    """Every mounted volume is declared, head and workers have one image and share the run folder, and the entry point
    is a command of this package."""
    cluster = manifest["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    pods = [group["template"]["spec"] for group in groups]
    for pod in pods:
        mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
    assert len({container["image"] for pod in pods for container in pod["containers"]}) == 1
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    program, command, *words = shlex.split(manifest["spec"]["entrypoint"])
    assert program == "selfcodealign"
    assert command in COMMANDS
    paths = {mount["mountPath"] for pod in pods for one in pod["containers"] for mount in one["volumeMounts"]}
    assert any(words[words.index("-o") + 1].startswith(f"{path}/") for path in paths)
