"""The manifests as `kubectl apply -k` would send them."""

import contextlib
import functools
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUTLAST = pathlib.Path(os.environ.get("OUTLAST_BIN", ROOT / "target/debug/outlast"))
OVERLAYS = ["k8s/overlays/dev", "k8s/overlays/production"]
FOLDERS = OVERLAYS + ["k8s/storm"] * (ROOT / "k8s/storm").exists()


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML as Kubernetes reads it: dates stay text."""


Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in Loader.yaml_implicit_resolvers.items()
}


@functools.cache
def renderer():
    """What renders a kustomization here: kubectl or kustomize with kustomize 5 in it."""
    if shutil.which("kubectl"):
        text = run("kubectl", "version", "--client", "--output=json", check=False)
        version = json.loads(text or "{}").get("kustomizeVersion", "")
        if re.match(r"v[5-9]", version):
            return ["kubectl", "kustomize"]
    for kustomize in (shutil.which("kustomize"), os.environ.get("KUSTOMIZE")):
        if kustomize:
            return [kustomize, "build"]
    raise SystemExit("error: please install kubectl 1.27 or newer, or kustomize 5")


@functools.cache
def rendered(folder):
    """Every object of an overlay."""
    text = run(*renderer(), str(ROOT / folder))
    return [item for item in yaml.load_all(text, Loader) if item]


def of_kind(folder, *kinds):
    return [item for item in rendered(folder) if item["kind"] in kinds]


def pods(folder):
    """What runs pods, as (name, labels of the pods, their spec)."""
    for item in of_kind(folder, "Deployment", "StatefulSet", "DaemonSet", "Job"):
        template = item["spec"]["template"]
        yield item["metadata"]["name"], template["metadata"].get("labels", {}), template["spec"]


def selects(selector, labels):
    """Whether a label selector takes these labels."""
    wanted = selector.get("matchLabels", {}) if "matchLabels" in selector or not selector else selector
    return all(labels.get(key) == value for key, value in wanted.items())


def settings(folder):
    """The environment that every outlast pod gets."""
    for item in of_kind(folder, "ConfigMap"):
        if re.fullmatch(r"outlast-[0-9a-z]{10}", item["metadata"]["name"]):
            return item["data"]
    raise AssertionError(f"{folder} has no settings")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextlib.contextmanager
def running(*command, ready):
    """A process, from the line on that says that it serves."""
    ours = ("OUTLAST_", "OTEL_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if ready in line:
                break
        else:
            raise AssertionError(f"{' '.join(command)}\n{b''.join(said).decode()}")
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield process
    finally:
        process.kill()
        process.wait()


def run(*command, check=True):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout
