"""The Helm chart, rendered by Helm's own code and checked with Kubernetes' own schemas."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from ecrate import __version__
from ecrate.settings import Settings, load_settings
from tests.packaging.conftest import EPOCH
from tests.support.helm import find_helm
from tools.release.chart import build_chart

pytestmark = pytest.mark.clients

_KUBERNETES = ("1.28", "1.33")
_RENDER = """
import json, sys, helm_python
path, values = json.loads(sys.argv[1])
with open(path, "rb") as file:
    chart = helm_python.Chart.load_archive(file.read())
report = helm_python.lint(path, values, strict=True)
try:
    answer = {"files": chart.render(values, name="it", namespace="registry")}
except helm_python.HelmError as error:
    answer = {"error": str(error)}
print(json.dumps({**answer, "lint": report["errors"]}))
"""
MANY: dict[str, Any] = {
    "replicas": 3,
    "settings": {"public_url": "https://r.example", "anonymous_pull": True, "shutdown_grace": 20},
    "existingSecret": "ecrate-settings",
    "secretFile": {"existingSecret": "ecrate-secret"},
    "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "r-example-tls"},
    "persistence": {"storageClass": "fast"},
    "imagePullSecrets": [{"name": "pull"}],
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "registry", "operator": "Exists"}],
}


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart as it is released."""
    return build_chart(tmp_path_factory.mktemp("chart"), EPOCH)


def render(chart: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Render in a process of its own, since Go's runtime comes with the library."""
    find_helm(chart.parent)
    words = [sys.executable, "-c", _RENDER, json.dumps([str(chart), values])]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def documents(answer: dict[str, Any]) -> dict[str, Any]:
    """Give what was rendered, by kind and name."""
    yaml = YAML(typ="safe")
    found = {}
    for name, text in answer["files"].items():
        if name.endswith(".yaml"):
            for document in yaml.load_all(text):
                if document is not None:
                    found[f"{document['kind']} {document['metadata']['name']}"] = document
    return found


@pytest.mark.parametrize("values", [{}, MANY], ids=["defaults", "many"])
def test_chart_renders_to_what_kubernetes_takes(chart: Path, values: dict[str, Any]) -> None:
    answer = render(chart, values)

    assert answer["lint"] == []
    found = documents(answer)
    kinds = {name.partition(" ")[0] for name in found}
    more = {"Ingress", "PodDisruptionBudget"} if values else set()
    assert kinds == {"ConfigMap", "Service", "StatefulSet", *more}
    for document in found.values():
        for version in _KUBERNETES:
            kubernetes_validate.validate(document, version, strict=True)


def test_settings_arrive(chart: Path) -> None:
    found = documents(render(chart, MANY))

    toml = found["ConfigMap it-ecrate"]["data"]["ecrate.toml"]
    settings = load_settings({}, {}, _written(chart.parent, toml))
    assert tomllib.loads(toml)["shutdown_grace"] == 20
    assert settings == Settings(
        public_url="https://r.example",
        anonymous_pull=True,
        shutdown_grace=20.0,
        secret_file="/etc/ecrate-secret/secret",
    )


def _written(folder: Path, text: str) -> Path:
    file = folder / "ecrate.toml"
    file.write_text(text)
    return file


def test_pods_are_of_the_image_and_its_user(chart: Path) -> None:
    pod = documents(render(chart, {}))["StatefulSet it-ecrate"]["spec"]["template"]["spec"]

    (container,) = pod["containers"]
    recipe = tomllib.loads((Path(__file__).parents[2] / "packaging/image/recipe.toml").read_text())
    assert container["image"] == f"ecrate:{__version__}"
    assert pod["securityContext"]["runAsUser"] == recipe["user"]["id"]
    assert container["volumeMounts"][0]["mountPath"] == recipe["config"]["WorkingDir"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        pytest.param({"replicas": 2}, "needs PostgreSQL and S3", id="no-database"),
        pytest.param(
            {"replicas": 2, "existingSecret": "x"}, "a secret that all share", id="no-secret"
        ),
        pytest.param({"replica": 2}, "replica", id="unknown-value"),
        pytest.param({"settings": {"Port": 1}}, "Port", id="no-setting"),
    ],
)
def test_bad_values_are_told(chart: Path, values: dict[str, Any], complaint: str) -> None:
    assert complaint in render(chart, values)["error"]


def test_second_build_has_the_same_bytes(chart: Path, tmp_path: Path) -> None:
    assert build_chart(tmp_path, EPOCH).read_bytes() == chart.read_bytes()
