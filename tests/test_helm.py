"""The Helm chart: rendered, and held against the schemas of Kubernetes; no cluster is at hand."""

from __future__ import annotations

import base64
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Final

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from sonda.server.flags import FLAGS
from tests.test_deploy import DEPLOY, SUPPORTED, tool

CHART: Final = DEPLOY / "helm" / "sonda"
KEY: Final = ("--set", "apiKey.value=s3cret")
VERSION: Final = ("--kube-version", SUPPORTED[-1])
CONFIG: Final = '[destinations.a]\nsink = { type = "stdout" }\n'
VARIANTS: Final[dict[str, tuple[str, ...]]] = {
    "default": KEY,
    "existing secret": ("--set", "apiKey.existingSecret=mine"),
    "everything": (
        *KEY,
        *("--set-literal", f"config={CONFIG}"),
        *("--set", "ingress.enabled=true,ingress.className=nginx,ingress.tlsSecret=cert"),
        *("--set", "imagePullSecrets[0]=registry,nodeSelector.disk=ssd"),
        *("--set", "tolerations[0].key=a,tolerations[0].operator=Exists"),
        *("--set-string", "podAnnotations.team=a,ingress.annotations.b=c"),
        *("--set", "service.type=LoadBalancer,service.port=80"),
    ),
    "no autoscaler": (*KEY, "--set", "autoscaling.enabled=false,podDisruptionBudget.enabled=false"),
}


def helm(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [tool("helm") / "bin" / "helm", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def rendered(*words: str, release: str = "sonda") -> dict[str, dict[str, Any]]:
    """Return what an installation would send, by its kind."""
    run = helm("template", release, CHART, *words, *VERSION)
    assert run.returncode == 0, run.stderr
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all(run.stdout)}


def container_of(manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    (container,) = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


@pytest.mark.parametrize("variant", VARIANTS)
def test_manifests_fit_the_schemas(variant: str) -> None:
    """Unknown fields are refused, from the oldest version that is supported to the newest."""
    manifests = rendered(*VARIANTS[variant])
    for manifest in manifests.values():
        for kubernetes in (SUPPORTED[0], SUPPORTED[-1]):
            kubernetes_validate.validate(manifest, kubernetes, strict=True)


def test_helm_finds_nothing_to_say() -> None:
    """`helm lint`, with values that are complete."""
    run = helm("lint", "--strict", CHART, *KEY, *VERSION)
    assert run.returncode == 0, run.stdout


def test_manifests_agree() -> None:
    """Selectors find the Pods, ports and names fit, in a release of any name."""
    manifests = rendered(*VARIANTS["everything"], release="events")
    deployment, service = manifests["Deployment"], manifests["Service"]
    assert {manifest["metadata"]["name"] for manifest in manifests.values()} == {"events-sonda"}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    budget = manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]
    assert budget.items() <= labels.items()
    assert "replicas" not in deployment["spec"]  # that number is the autoscaler's
    config = base64.b64decode(manifests["Secret"]["data"]["sonda.toml"]).decode()
    assert tomllib.loads(config) == tomllib.loads(CONFIG)
    container = container_of(manifests)
    assert {"name": "SONDA_CONFIG", "value": "/etc/sonda/sonda.toml"} in container["env"]


def test_pods_are_those_of_the_manifests() -> None:
    """The container is what `deploy/kubernetes` runs, probes and confinement included."""
    plain = yaml.safe_load((DEPLOY / "kubernetes" / "deployment.yaml").read_text(encoding="utf-8"))
    (there,) = plain["spec"]["template"]["spec"]["containers"]
    here = container_of(rendered(*KEY))
    alike = ("ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "resources")
    for name in (*alike, "securityContext"):
        assert here[name] == there[name], name
    config = {"name": "config", "mountPath": "/etc/sonda", "readOnly": True}
    assert [*here["volumeMounts"], config] == there["volumeMounts"]
    variables = [variable for variable in there["env"] if variable["name"] != "SONDA_CONFIG"]
    assert [one for one in here["env"] if one in variables] == variables


def test_a_key_is_needed() -> None:
    """An open server is not installed by leaving something out."""
    run = helm("template", "sonda", CHART, *VERSION)
    assert run.returncode != 0
    assert "set apiKey.existingSecret, or apiKey.value" in run.stderr


@pytest.mark.parametrize("wrong", ["env.PORT=1", "replica=3", "service.type=Open"])
def test_a_wrong_value_is_refused(wrong: str) -> None:
    """By the chart's own schema."""
    run = helm("template", "sonda", CHART, *KEY, "--set-string", wrong, *VERSION)
    assert run.returncode != 0
    assert "values don't meet the specifications of the schema" in run.stderr


def test_variables_are_flags() -> None:
    """Each variable of the container is one that the server knows."""
    container = container_of(rendered(*VARIANTS["everything"]))
    names = {variable["name"] for variable in container["env"]}
    assert names <= {str(flag.envvar) for flag in FLAGS} | {"SONDA_API_KEY_FILE"}


def test_versions_are_the_projects() -> None:
    """The chart's image is that of its own release."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == chart["version"] == project["project"]["version"]
    assert re.fullmatch(rf">={re.escape(SUPPORTED[0])}\.0-0", chart["kubeVersion"])
