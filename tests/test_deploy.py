"""What is deployed holds together: the image's recipe, the manifests, the document that explains them.

No container is built and no cluster asked. The Dockerfile's sources are looked up in the build context, the manifests are
validated against Kubernetes' own schemas (package kubernetes-validate) and a schema of LocustTest, and what is said
twice is compared. Set TOKENSWARM_LOCUSTTEST_CRD to the operator's own CRD to hold the LocustTest against that too.
"""

import copy
import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped,unused-ignore]

ROOT: Final = Path(__file__).parent.parent
KUBERNETES: Final = ROOT / "deploy" / "kubernetes"
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
GUIDE: Final = ROOT / "docs" / "distributed.md"
USER: Final = 10001
OLDEST, NEWEST = "1.31", "1.37"  # Kubernetes; the operator's policy is of 1.36 on
POLICY_SINCE: Final = "1.36"


# --- the image


def instructions(text: str) -> list[tuple[str, str]]:
    """(word, rest) of each instruction of a Dockerfile, comments gone and lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    split = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [(word.upper(), " ".join(rest.split())) for word, _, rest in split]


DOCKERFILE: Final = instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))
FINAL_STAGE: Final = DOCKERFILE[max(at for at, (word, _) in enumerate(DOCKERFILE) if word == "FROM") :]


def said(word: str, stage: Sequence[tuple[str, str]] = FINAL_STAGE) -> list[str]:
    """What stands after each such instruction."""
    return [rest for found, rest in stage if found == word]


def is_kept_out(path: str, patterns: Sequence[str]) -> bool:
    """Whether .dockerignore leaves a path out of the build context: the last pattern that fits decides."""
    out = False
    for pattern in patterns:
        fits = pattern.lstrip("!")
        steps = path.split("/")
        heads = ["/".join(steps[: end + 1]) for end in range(len(steps))]
        if fits.startswith("**/"):
            hit = any(fnmatch.fnmatchcase(step, fits[3:]) for step in steps)
        else:
            hit = any(
                head.count("/") == fits.count("/") and fnmatch.fnmatchcase(head, fits) for head in heads
            )
        if hit:
            out = not pattern.startswith("!")
    return out


IGNORED: Final = [
    line
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def copied() -> list[str]:
    """What the Dockerfile takes from the build context."""
    found = [rest.split()[:-1] for rest in said("COPY", DOCKERFILE) if not rest.startswith("--from")]
    return [source for sources in found for source in sources]


def test_every_copied_file_is_there_and_let_in() -> None:
    """Each source of a COPY exists, and .dockerignore does not keep it out."""
    assert set(copied()) == {
        "requirements/runtime.lock", "pyproject.toml", "README.md", "LICENSE", "harness", "locustfiles", "dashboards",
    }  # fmt: skip
    for source in copied():
        assert (ROOT / source).exists(), source
        inside = [source] if (ROOT / source).is_file() else [f"{source}/x.py", f"{source}/deep/x.json"]
        assert [path for path in inside if is_kept_out(path, IGNORED)] == []


@pytest.mark.parametrize(
    "path",
    [".git/config", ".venv/bin/python", "results/r/run.json", ".env", "key.txt", "tests/test_deploy.py",
     "requirements/dev.lock", "harness/__pycache__/x.cpython-312.pyc", "deploy/kubernetes/secret.yaml"],
)  # fmt: skip
def test_nothing_else_gets_into_the_image(path: str) -> None:
    """Keys, results, history and caches are no part of the build context."""
    assert is_kept_out(path, IGNORED)


def test_the_image_runs_locust_as_nobody_special() -> None:
    """A numeric user that is not root, Ctrl-C's signal, results in a volume, caches under /tmp."""
    assert said("USER")[-1] == f"{USER}:{USER}"
    assert FINAL_STAGE.index(("USER", f"{USER}:{USER}")) > max(
        at for at, (word, _) in enumerate(FINAL_STAGE) if word in ("RUN", "COPY")
    )
    assert said("ENTRYPOINT") == ['["locust"]']
    assert said("STOPSIGNAL") == ["SIGINT"]
    assert said("VOLUME") == ["/results"]
    env = dict(word.split("=", 1) for word in shlex.split(" ".join(said("ENV"))))
    assert env["TOKENSWARM_RESULTS_DIR"] == "/results"
    assert env["PATH"].startswith("/opt/tokenswarm/bin:")
    assert {env[name].split("/")[1] for name in ("HOME", "HF_HOME", "XDG_CACHE_HOME")} == {"tmp"}
    assert env["PYTHONDONTWRITEBYTECODE"] == "1"


def test_the_image_holds_no_secret() -> None:
    """Neither build arguments nor variables are named like one."""
    names = [
        word.partition("=")[0]
        for rest in [*said("ENV", DOCKERFILE), *said("ARG", DOCKERFILE)]
        for word in shlex.split(rest)
    ]
    assert [name for name in names if re.search("KEY|SECRET|PASSWORD|LICENSE|_TOKEN", name)] == []


def test_the_image_is_of_this_version() -> None:
    """Its labels are pyproject's, its Python is pinned to a patch release and new enough."""
    labels = dict(word.split("=", 1) for word in shlex.split(" ".join(said("LABEL"))))
    assert labels["org.opencontainers.image.version"] == PROJECT["version"]
    assert labels["org.opencontainers.image.licenses"] == PROJECT["license"]
    assert labels["org.opencontainers.image.title"] == PROJECT["name"]
    assert set(said("FROM", DOCKERFILE)) == {"${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"}
    (base,) = said("ARG", DOCKERFILE)
    found = re.fullmatch(r"PYTHON_IMAGE=python:(\d+)\.(\d+)\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", base)
    least = tuple(map(int, PROJECT["requires-python"].removeprefix(">=").split(".")))
    assert found is not None
    assert (int(found[1]), int(found[2])) >= least


def test_packages_are_installed_with_hashes_only() -> None:
    """The lock holds every dependency and the build backend, each with a hash; pip may fetch nothing else."""
    installs = [rest for rest in said("RUN", DOCKERFILE) if "pip install" in rest]
    assert "--require-hashes -r requirements/runtime.lock" in installs[0]
    assert "--no-deps --no-build-isolation ." in installs[1]
    lock = (ROOT / "requirements" / "runtime.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^([a-z0-9._-]+)==[^\n]*((?:\\\n +--hash=sha256:[0-9a-f]{64} ?)+)", lock, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[a-z0-9]", lock, re.MULTILINE)) > 30
    names = {name for name, _ in pins}
    assert {re.split("[><=]", name)[0] for name in PROJECT["dependencies"]} <= names
    assert {"hatchling", "hatch-fancy-pypi-readme"} <= names


def test_what_is_copied_makes_a_whole_package(tmp_path: Path) -> None:
    """A wheel built from the copied files alone has every module and profile, locustfile and dashboard."""
    pytest.importorskip("hatchling")
    context, out = tmp_path / "src", tmp_path / "out"
    context.mkdir()
    for source in copied():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, context / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (context / source).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / source, context / source)
    subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel", "--no-deps",
         "--no-build-isolation", "--no-index", "--wheel-dir", str(out), str(context)],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (wheel,) = out.iterdir()
    held = set(zipfile.ZipFile(wheel).namelist())
    files = {str(path.relative_to(context)) for path in (context / "harness").rglob("*") if path.is_file()}
    for folder in ("locustfiles", "dashboards"):
        beside = [path for path in (context / folder).rglob("*") if path.is_file()]
        assert len(beside) > 4
        files |= {f"harness/{path.relative_to(context)}" for path in beside}
    assert wheel.name.startswith(f"tokenswarm-{PROJECT['version']}-")
    assert files - held == set()


# --- the manifests


Manifest = dict[str, Any]


def documents(path: Path) -> list[Manifest]:
    """The resources of one file."""
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one]


def resolved(folder: str) -> list[Manifest]:
    """What `kubectl apply -k` sends for a folder, as far as our kustomizations go: resources and generated maps."""
    (kustomization,) = documents(KUBERNETES / folder / "kustomization.yaml")
    found: list[Manifest] = []
    for name in kustomization.get("resources", []):
        path = (KUBERNETES / folder / name).resolve()
        found += resolved(path.name) if path.is_dir() else documents(path)
    for wanted in kustomization.get("configMapGenerator", []):
        data = {name: (KUBERNETES / folder / name).read_text(encoding="utf-8") for name in wanted["files"]}
        metadata = {"name": wanted["name"], "namespace": wanted["namespace"]}
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    return found


JOBS: Final = resolved("jobs")
OPERATOR: Final = resolved("operator")
LOOSE: Final = [
    document for name in ("reader.yaml", "secret.example.yaml") for document in documents(KUBERNETES / name)
]
EVERYTHING: Final = {
    f"{one['kind']}-{one['metadata']['name']}": one for one in [*JOBS, *OPERATOR, *LOOSE]
}  # those of base are in both


def pick(kind: str, name: str = "") -> Manifest:
    """The one resource of that kind, and name where there are several."""
    (found,) = [
        one for one in EVERYTHING.values() if one["kind"] == kind and name in ("", one["metadata"]["name"])
    ]
    return found


MASTER: Final = pick("Job", "llm-load-master")["spec"]
WORKER: Final = pick("Job", "llm-load-worker")["spec"]
TEST: Final = pick("LocustTest")["spec"]
POLICY: Final = pick("MutatingAdmissionPolicy")["spec"]


@pytest.fixture(scope="module")
def kubernetes_validate() -> ModuleType:
    """The schemas of Kubernetes; a development dependency."""
    if os.environ.get("TOKENSWARM_REQUIRE_REAL") == "1":
        import kubernetes_validate as module  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415

        return module  # type: ignore[no-any-return,unused-ignore]
    return pytest.importorskip("kubernetes_validate")  # type: ignore[no-any-return,unused-ignore]


def validate(schemas: ModuleType, manifest: Manifest, version: str) -> None:
    """Refuse what Kubernetes of that version, or the operator, would not take; unknown fields too.

    Raises:
        jsonschema.ValidationError: it is refused.
    """
    import jsonschema  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415

    if manifest["kind"] == "LocustTest":
        path = KUBERNETES / "schema" / "locusttest-v1.schema.json"
        jsonschema.validate(manifest, json.loads(path.read_bytes()), jsonschema.Draft202012Validator)
    else:
        schemas.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, POLICY_SINCE, NEWEST])
@pytest.mark.parametrize("name", sorted(EVERYTHING))
def test_every_manifest_is_valid(kubernetes_validate: ModuleType, name: str, version: str) -> None:
    """For the oldest and the newest Kubernetes; the operator's policy for those that have such policies."""
    manifest = EVERYTHING[name]
    if "AdmissionPolicy" in manifest["kind"] and version == OLDEST:
        with pytest.raises(kubernetes_validate.SchemaNotFoundError):
            validate(kubernetes_validate, manifest, version)
        return
    validate(kubernetes_validate, manifest, version)


def put(path: str, value: object) -> Callable[[Manifest], None]:
    """Set what a path of keys and indices leads to."""

    def change(manifest: Manifest) -> None:
        at: Any = manifest
        *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")]
        for step in steps:
            at = at[step]
        at[last] = value

    return change


POD: Final = "spec/template/spec"
SECRET_KEY: Final = {"secretKeyRef": {"name": "tokenswarm-api-key", "key": "api-key"}}
MUTATIONS: Final = [
    ("Job-llm-load-worker", put("spec/parallelism", "four")),
    ("Job-llm-load-worker", put("spec/replicas", 4)),
    ("Job-llm-load-master", put(f"{POD}/containers/0/resorces", {})),
    ("Job-llm-load-master", put(f"{POD}/containers/0/env/0/valueFrom", {"secretKeyRef": {"name": "x"}})),
    ("Job-llm-load-master", put(f"{POD}/containers/0/readinessProbe/tcpSocket", {})),
    ("PersistentVolumeClaim-tokenswarm-results", put("spec/accessModes", "ReadWriteOnce")),
    ("NetworkPolicy-llm-load-master", put("spec/ingress/0/ports", {"port": 5557})),
    ("NetworkPolicy-llm-load-master", put("spec/podSelector/matchLables", {})),
    ("Service-llm-load-master", put("spec/ports/0/port", "5557")),
    ("ConfigMap-llm-load-locustfile", put("data/locustfile.py", ["a list"])),
    ("MutatingAdmissionPolicy-tokenswarm-llm-load", put("spec/mutations/0/jsonpatch", {})),
    ("MutatingAdmissionPolicy-tokenswarm-llm-load", put("spec/variables/0", {"name": "shared"})),
    ("LocustTest-llm-load", put("spec/env/0", {"name": "TOKENSWARM_API_KEY", "valueFrom": SECRET_KEY})),
    ("LocustTest-llm-load", put("spec/volumes", [])),
    ("LocustTest-llm-load", put("spec/workers", 0)),
    ("LocustTest-llm-load", put("spec/args", ["--headless"])),
    ("LocustTest-llm-load", put("spec/locustfile/content", "x")),
    ("LocustTest-llm-load", put("spec/locustfile/configMap", {"name": "x", "key": "mytest.py"})),
    ("LocustTest-llm-load", put("spec/worker/terminationGracePeriodSeconds", 300)),
    ("LocustTest-llm-load", put("apiVersion", "locust.io/v2")),
]


@pytest.mark.parametrize(("name", "change"), MUTATIONS)
def test_a_broken_manifest_is_refused(
    kubernetes_validate: ModuleType, name: str, change: Callable[[Manifest], None]
) -> None:
    """The validation can fail: a wrong type, a misspelt, missing or unsupported field."""
    import jsonschema  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415

    manifest = copy.deepcopy(EVERYTHING[name])
    validate(kubernetes_validate, manifest, NEWEST)
    change(manifest)
    with pytest.raises(jsonschema.ValidationError):
        validate(kubernetes_validate, manifest, NEWEST)


def closed(schema: Any) -> Any:
    """The schema of a CRD, with unknown fields refused as `kubectl apply` does, and Kubernetes' own words as JSON Schema's."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {name: closed(one) for name, one in schema.items()}
    if isinstance(made.get("properties"), dict):
        made.setdefault("additionalProperties", False)
    return made


def test_the_locusttest_is_valid_by_the_operators_own_crd(kubernetes_validate: ModuleType) -> None:
    """TOKENSWARM_LOCUSTTEST_CRD names charts/locust-operator/crds/locusttest.yaml of the operator that will be used."""
    import jsonschema  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415

    path = os.environ.get("TOKENSWARM_LOCUSTTEST_CRD")
    if not path:
        pytest.skip("TOKENSWARM_LOCUSTTEST_CRD is not set")
    (crd,) = documents(Path(path))
    (version,) = [one for one in crd["spec"]["versions"] if one["served"]]
    assert f"{crd['spec']['group']}/{version['name']}" == pick("LocustTest")["apiVersion"]
    schema = closed(version["schema"]["openAPIV3Schema"])["properties"]["spec"]
    jsonschema.validate(TEST, schema, jsonschema.Draft202012Validator)
    for name, change in MUTATIONS:
        broken = copy.deepcopy(EVERYTHING[name])
        change(broken)
        if name.startswith("LocustTest") and broken["apiVersion"] == pick("LocustTest")["apiVersion"]:
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(broken["spec"], schema, jsonschema.Draft202012Validator)


def kustomized(folder: Path) -> list[Manifest]:
    """What the real kustomize makes of a folder."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def sorted_by_name(manifests: Sequence[Manifest]) -> list[Manifest]:
    """In one order."""
    return sorted(manifests, key=lambda one: (one["kind"], one["metadata"]["name"]))


@pytest.mark.parametrize(("folder", "expected"), [("jobs", JOBS), ("operator", OPERATOR)])
def test_kustomize_agrees(folder: str, expected: list[Manifest]) -> None:
    """`kubectl kustomize` makes the resources that are tested here, and leaves those without a namespace alone."""
    assert sorted_by_name(kustomized(KUBERNETES / folder)) == sorted_by_name(expected)


@pytest.mark.parametrize("folder", ["jobs", "operator"])
def test_results_can_be_shared(folder: str, tmp_path: Path) -> None:
    """With ../shared-results workers write to the claim, which many nodes may then mount; nothing else changes."""
    shutil.copytree(KUBERNETES, tmp_path / "k")
    with (tmp_path / "k" / folder / "kustomization.yaml").open("a", encoding="utf-8") as file:
        file.write("components:\n  - ../shared-results\n")
    made = {(one["kind"], one["metadata"]["name"]): one for one in kustomized(tmp_path / "k" / folder)}
    before = {(one["kind"], one["metadata"]["name"]): one for one in resolved(folder)}
    changed = {key[0] for key in made if made[key] != before[key]}
    assert changed == {
        "PersistentVolumeClaim",
        {"jobs": "Job", "operator": "MutatingAdmissionPolicy"}[folder],
    }
    claim = made["PersistentVolumeClaim", "tokenswarm-results"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    if folder == "jobs":
        volume = volumes(made["Job", "llm-load-worker"]["spec"])["results"]
        assert volume["persistentVolumeClaim"] == {"claimName": "tokenswarm-results"}
        assert volume.get("emptyDir") is None
    else:
        policy = made["MutatingAdmissionPolicy", "tokenswarm-llm-load"]["spec"]
        assert policy["variables"][0] == {"name": "shared", "expression": "true"}
    mode = json.dumps(claim)
    assert "YOUR-SHARED-CLASS" not in mode


# --- what the manifests say


def pod(spec: Manifest) -> Manifest:
    """The pod of a Job's spec, or the pod itself."""
    found: Manifest = spec["template"]["spec"] if "template" in spec else spec
    return found


def container(spec: Manifest) -> Manifest:
    """Its only container."""
    (found,) = pod(spec)["containers"]
    assert isinstance(found, dict)
    return found


def volumes(spec: Manifest) -> dict[str, Manifest]:
    """By name."""
    return {volume["name"]: volume for volume in pod(spec)["volumes"]}


def mounts(spec: Manifest) -> dict[str, str]:
    """Mount path by volume."""
    return {mount["name"]: mount["mountPath"] for mount in container(spec)["volumeMounts"]}


def options(arguments: Sequence[str]) -> dict[str, str]:
    """`--name=value` and flags."""
    return {word.partition("=")[0]: word.partition("=")[2] for word in arguments if word.startswith("--")}


PODS: Final = {"master": MASTER, "worker": WORKER, "reader": pick("Pod")["spec"]}


@pytest.mark.parametrize("name", sorted(PODS))
def test_no_pod_may_more_than_it_needs(name: str) -> None:
    """Not root, the image's user, a read-only root, no capability, no token, no variables of Services."""
    spec, inside = pod(PODS[name]), container(PODS[name])
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert inside["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["serviceAccountName"] == pick("ServiceAccount")["metadata"]["name"]
    assert mounts(PODS[name]).keys() == volumes(PODS[name]).keys()
    assert mounts(PODS[name])["tmp"] == "/tmp"


def test_the_image_is_named_with_this_version() -> None:
    """In Jobs, LocustTest, reader and the kustomization; never `latest`."""
    images = [container(spec)["image"] for spec in PODS.values()] + [TEST["image"]]
    assert set(images) == {f"tokenswarm:{PROJECT['version']}"}
    (kustomization,) = documents(KUBERNETES / "jobs" / "kustomization.yaml")
    assert kustomization["images"] == [
        {"name": "tokenswarm", "newName": "tokenswarm", "newTag": PROJECT["version"]}
    ]


@pytest.mark.parametrize(
    "resources",
    [container(MASTER)["resources"], container(WORKER)["resources"], TEST["master"]["resources"],
     TEST["worker"]["resources"]],
)  # fmt: skip
def test_every_process_has_a_core_of_its_own(resources: dict[str, dict[str, str]]) -> None:
    """Requests equal limits and whole cores: the Guaranteed class."""
    assert resources["requests"] == resources["limits"]
    assert resources["limits"]["cpu"] == "1"
    assert re.fullmatch(r"\d+Gi", resources["limits"]["memory"])


def test_operator_and_jobs_make_the_same_run() -> None:
    """The same options, resources, locustfile and number of workers."""
    own = {"--master"}
    by_jobs = [word for word in container(MASTER)["args"] if word not in own]
    assert shlex.split(TEST["args"]) == by_jobs
    assert TEST["master"]["resources"] == container(MASTER)["resources"]
    assert TEST["worker"]["resources"] == container(WORKER)["resources"]
    name = TEST["locustfile"]["configMap"]["name"]
    assert (
        volumes(MASTER)["locustfile"]
        == volumes(WORKER)["locustfile"]
        == {
            "name": "locustfile",
            "configMap": {"name": name},
        }
    )
    assert pick("ConfigMap")["metadata"]["name"] == name
    asked = int(options(by_jobs)["--expect-workers"])
    assert asked == WORKER["parallelism"] == WORKER["completions"] == TEST["workers"] == 4


def test_workers_find_the_master() -> None:
    """By the Service's name; its selector is the labels of the master's pod, its port Locust's."""
    service = pick("Service")
    assert options(container(WORKER)["args"])["--master-host"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == MASTER["template"]["metadata"]["labels"]
    assert [port["port"] for port in service["spec"]["ports"]] == [5557]


def test_only_workers_reach_the_master_and_nobody_the_workers() -> None:
    """Port 5557 from pods with the workers' labels; the operator reaches the web UI alone."""
    guard = pick("NetworkPolicy", "llm-load-master")["spec"]
    assert guard["podSelector"]["matchLabels"] == MASTER["template"]["metadata"]["labels"]
    (rule,) = guard["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": WORKER["template"]["metadata"]["labels"]}}]
    assert rule["ports"] == [{"protocol": "TCP", "port": 5557}]
    alone = pick("NetworkPolicy", "llm-load-worker")["spec"]
    assert alone["podSelector"]["matchLabels"] == WORKER["template"]["metadata"]["labels"]
    assert alone["policyTypes"] == ["Ingress"]
    assert "ingress" not in alone
    (rule,) = pick("NetworkPolicy", "llm-load-operator")["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 8089}]


def test_the_key_comes_from_the_secret_and_is_in_no_file() -> None:
    """Master and workers read it by reference; the example has no value."""
    secret = pick("Secret")
    assert secret["stringData"] == {"api-key": ""}
    for spec in (MASTER, WORKER):
        key = container(spec)["env"][0]
        assert key["name"] == "TOKENSWARM_API_KEY"
        assert key["valueFrom"]["secretKeyRef"] == {
            "name": secret["metadata"]["name"],
            "key": "api-key",
            "optional": True,
        }
    assert [one["name"] for one in TEST["env"] if "KEY" in one["name"]] == []
    assert "secret.example.yaml" not in json.dumps([JOBS, OPERATOR])
    assert [one for one in [*JOBS, *OPERATOR] if one["kind"] == "Secret"] == []


def test_results_outlive_the_master() -> None:
    """The claim is mounted where --results-dir points; a worker's journal stays with its pod."""
    where = options(container(MASTER)["args"])["--results-dir"]
    assert where == options(container(WORKER)["args"])["--results-dir"] == "/results"
    assert (
        mounts(MASTER)["results"] == mounts(WORKER)["results"] == mounts(PODS["reader"])["results"] == where
    )
    claim = {"claimName": pick("PersistentVolumeClaim")["metadata"]["name"]}
    assert volumes(MASTER)["results"]["persistentVolumeClaim"] == claim
    assert volumes(PODS["reader"])["results"]["persistentVolumeClaim"] == claim
    assert volumes(WORKER)["results"] == {"name": "results", "emptyDir": {}}
    assert pod(WORKER)["restartPolicy"] == "OnFailure"  # in the same pod, so the volume stays


def test_a_run_is_not_repeated_because_of_its_exit_code() -> None:
    """The master is never restarted, a worker's exit code does not count failed requests."""
    assert MASTER["backoffLimit"] == 0
    assert pod(MASTER)["restartPolicy"] == "Never"
    assert {"name": "LOCUST_EXIT_CODE_ON_ERROR", "value": "0"} in container(WORKER)["env"]


def test_there_is_time_to_drain_and_hand_over() -> None:
    """Grace covers the drain, a minute for the last word or the hand-over, and as much again for merging."""
    stop_s = int(options(container(MASTER)["args"])["--stop-timeout"])
    for spec in (MASTER, WORKER):
        assert pod(spec)["terminationGracePeriodSeconds"] >= stop_s + 60 + 120


def test_names_do_not_look_like_options() -> None:
    """Kubernetes makes variables of Services' names; LOCUST_... and TOKENSWARM_... would be taken for options."""
    for one in (pick("Service"), pick("LocustTest")):
        assert not one["metadata"]["name"].startswith(("locust", "tokenswarm"))


def expressions() -> str:
    """All that the policy adds, as text."""
    return " ".join(str(mutation) for mutation in POLICY["mutations"]).replace("\\n", " ")


def test_the_policy_makes_the_operators_pods_what_the_jobs_are() -> None:
    """The same account, user, claim, Secret, paths, times and limits."""
    text = re.sub(r"\s+", " ", expressions())
    claim = pick("PersistentVolumeClaim")["metadata"]["name"]
    grace = pod(MASTER)["terminationGracePeriodSeconds"]
    backoff = f"backoffLimit: variables.master ? {MASTER['backoffLimit']} : {WORKER['backoffLimit']}"
    for said_so in (
        backoff,
        f"ttlSecondsAfterFinished: {MASTER['ttlSecondsAfterFinished']}",
        f"terminationGracePeriodSeconds: {grace}",
        f'serviceAccountName: "{pod(MASTER)["serviceAccountName"]}"',
        "automountServiceAccountToken: false",
        "enableServiceLinks: false",
        f"runAsNonRoot: true, runAsUser: {USER}, runAsGroup: {USER}, fsGroup: {USER}",
        'seccompProfile{type: "RuntimeDefault"}',
        "allowPrivilegeEscalation: false, readOnlyRootFilesystem: true",
        'capabilities{drop: ["ALL"]}',
        f'claimName: "{claim}"',
        'name: "results", mountPath: "/results"',
        'name: "tmp", mountPath: "/tmp"',
        'name: "tokenswarm-api-key", key: "api-key", optional: true',
        'name: "LOCUST_EXIT_CODE_ON_ERROR", value: "0"',
    ):
        assert said_so in text, said_so
    assert WORKER["ttlSecondsAfterFinished"] == MASTER["ttlSecondsAfterFinished"]


def test_the_policy_touches_these_jobs_only() -> None:
    """Those that the operator makes of this LocustTest, in its namespace; without the policy there is no run."""
    name = pick("LocustTest")["metadata"]
    assert POLICY["failurePolicy"] == "Fail"
    assert POLICY["matchConstraints"]["objectSelector"]["matchLabels"] == {
        "app.kubernetes.io/managed-by": "locust-operator",
        "locust.io/test-run": name["name"],
    }
    assert POLICY["matchConstraints"]["resourceRules"] == [
        {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}
    ]
    binding = pick("MutatingAdmissionPolicyBinding")["spec"]
    assert binding["policyName"] == pick("MutatingAdmissionPolicy")["metadata"]["name"]
    assert binding["matchResources"]["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": name["namespace"]
    }


def test_every_resource_is_in_one_namespace() -> None:
    """But for those that are in none."""
    without = {"Namespace", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"}
    for name, one in EVERYTHING.items():
        expected = None if one["kind"] in without else pick("Namespace")["metadata"]["name"]
        assert one["metadata"].get("namespace") == expected, name


# --- commands, in manifests and in the document


# Locust patches the process that imports it, so its parser runs in one of its own: commands in, what is wrong with them out.
READER: Final = """
import importlib.util, json, os, sys
from locust import events
from locust.argument_parser import get_parser
from harness import backend_choice, options
from harness.users import LLMUser

wrong = []
for environment, locustfile, arguments in json.load(sys.stdin):
    os.environ.update(environment)
    try:
        sys.argv = ["locust"]
        parsed, unknown = get_parser().parse_known_args(arguments)
        if locustfile:
            spec = importlib.util.spec_from_file_location("locustfile", locustfile)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            users = [it for it in vars(module).values() if isinstance(it, type) and issubclass(it, LLMUser)]
            users.remove(LLMUser)
            if not parsed.worker:
                settings = options.read(parsed, None)
                for it in users:
                    backend_choice.choose(it.backend, it.api_mode, it.backend_options, settings)
            if not users:
                wrong.append([arguments, "no user class"])
        if unknown:
            wrong.append([arguments, unknown])
    except (Exception, SystemExit) as error:
        wrong.append([arguments, str(error)])
    for name in environment:
        del os.environ[name]
print(json.dumps(wrong))
"""


def complaints(cases: Sequence[tuple[Mapping[str, str], str, Sequence[str]]]) -> list[Any]:
    """What Locust and tokenswarm have against (environment, locustfile, arguments)."""
    done = subprocess.run(
        [sys.executable, "-c", READER], input=json.dumps(cases), capture_output=True, text=True, check=False, cwd=ROOT,
        env={name: value for name, value in os.environ.items() if "TOKENSWARM" not in name and "LOCUST" not in name},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def test_the_manifests_commands_are_understood() -> None:
    """By Locust's parser and ours, with the locustfile that is mounted and the LocustTest's variables."""
    ours = str(KUBERNETES / "base" / "locustfile.py")
    variables = {one["name"]: one["value"] for one in TEST["env"]}
    arguments = shlex.split(TEST["args"])
    assert container(MASTER)["args"].count("/home/locust/locustfile.py") == 1
    assert mounts(MASTER)["locustfile"] == mounts(WORKER)["locustfile"] == "/home/locust"
    cases: list[tuple[Mapping[str, str], str, Sequence[str]]] = [
        (variables, ours, ["--master", *arguments]),
        (variables, ours, ["--worker", "--master-host", "llm-load-master", *arguments]),
        ({}, ours, container(MASTER)["args"]),
        ({}, ours, container(WORKER)["args"]),
    ]
    assert complaints(cases) == []
    assert complaints([({}, ours, ["--levls=4"]), ({}, ours, ["--headless", "--levels=four"])]) != []


def commands(text: str) -> Iterator[list[str]]:
    """Every command of a document's ```sh blocks, in words."""
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


def test_the_documents_commands_are_understood() -> None:
    """Every `locust` line parses, files and folders that are named exist, and every `tokenswarm` subcommand is one."""
    cases: list[tuple[Mapping[str, str], str, Sequence[str]]] = []
    subcommands = set()
    for words in commands(GUIDE.read_text(encoding="utf-8")):
        environment = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
        rest = [word for word in words if word.partition("=")[0] not in environment]
        if rest[0] == "locust":
            file = rest[rest.index("-f") + 1]
            cases.append((environment, "" if file == "-" else str(ROOT / file), rest[1:]))
        if rest[0] == "tokenswarm":
            subcommands.add(rest[1])
        for word in rest:
            if word.startswith("deploy/"):
                assert (ROOT / word).exists(), word
    assert len(cases) >= 5
    assert complaints(cases) == []
    assert subcommands == {"plan", "selftest", "collect", "report"}
    for name in sorted(subcommands):
        done = subprocess.run(
            [sys.executable, "-c", "from harness.cli import main; main()", name, "--help"],
            capture_output=True, text=True, check=False, cwd=ROOT,
        )  # fmt: skip
        assert (name, done.returncode) == (name, 0), done.stderr
