"""A second `kubectl apply` of the same thing changes nothing, and says so.

`kubectl apply` compares what it sends with what is there. Fields of maps that it does not send are the server's to fill
in. A list that is not merged by a key is compared whole, with the defaults that the server has written into it, and so
are quantities, which the server writes in its own way: there the defaults have to be spelled out. What stands here was
taken from the defaulting of Kubernetes 1.36, and from the definitions of Gateway API 1.2 and the Prometheus operator.

One kind is called `configured` all the same: the selector of a PodDisruptionBudget is sent anew by each apply.
"""

import re
import unittest

import manifests

# Lists that are merged by this key: what is left out in their items is not looked at.
MERGED = {
    "ServiceAccount": {},
    "Service": {"spec.ports": "port"},
    "Pods": {
        "containers": "name",
        "containers[].env": "name",
        "containers[].ports": "containerPort",
        "containers[].volumeMounts": "mountPath",
        "initContainers": "name",
        "initContainers[].volumeMounts": "mountPath",
        "topologySpreadConstraints": "topologyKey",
        "volumes": "name",
    },
}

# Lists of objects that are compared whole, and what their items have to say since the server would say it.
WHOLE = {
    "NetworkPolicy": {
        "spec.ingress": (),
        "spec.ingress[].from": (),
        "spec.ingress[].ports": ("port", "protocol"),
        "spec.egress": (),
        "spec.egress[].to": (),
        "spec.egress[].ports": ("port", "protocol"),
    },
    "StatefulSet": {"spec.volumeClaimTemplates": ("apiVersion", "kind", "spec.volumeMode", "status.phase")},
    "HorizontalPodAutoscaler": {
        "spec.metrics": ("type", "pods.target.type"),
        "spec.behavior.scaleUp.policies": (),
        "spec.behavior.scaleDown.policies": (),
    },
    "Ingress": {
        "spec.rules": (),
        "spec.rules[].http.paths": ("pathType",),
        "spec.tls": (),
    },
    "HTTPRoute": {
        "spec.parentRefs": ("group", "kind"),
        "spec.rules": ("matches",),
        "spec.rules[].matches": ("path.type", "path.value"),
        "spec.rules[].backendRefs": ("group", "kind", "weight"),
    },
    "ServiceMonitor": {"spec.endpoints": (), "spec.endpoints[].relabelings": ("action",)},
    "PrometheusRule": {"spec.groups": (), "spec.groups[].rules": ()},
    "Pods": {
        "containers[].envFrom": (),
        "volumes[].secret.items": (),
        "volumes[].configMap.items": (),
    },
}

# Maps of which every field has to be said, if one is.
RETAINED = {"Deployment": {"spec.strategy": ("type", "rollingUpdate")}}

# How the server writes a quantity: no fraction, and the largest unit that leaves a whole number.
QUANTITY = re.compile(r"([1-9][0-9]*)(m|k|Mi|Gi|)")


def lists(value, path=""):
    """Every list of objects below a value, with its path."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from lists(below, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        yield path, value
        for item in value:
            yield from lists(item, f"{path}[]")


def at(item, path):
    for key in path.split("."):
        item = item.get(key) if isinstance(item, dict) else None
    return item


def left_out(item):
    """What is wrong with an object, as far as a second apply would find it changed."""
    kind, whole = item["kind"], WHOLE.get(item["kind"], {})
    merged = MERGED.get(kind, {})
    for path, fields in RETAINED.get(kind, {}).items():
        yield from (f"{path} lacks {field}" for field in fields if at(item, path) and at(at(item, path), field) is None)
    for path, items in lists(item):
        inside = path.removeprefix("spec.template.spec.")
        if inside != path:
            known, keys = WHOLE["Pods"].get(inside), MERGED["Pods"].get(inside)
        else:
            known, keys = whole.get(path), merged.get(path)
        if known is None and keys is None:
            yield f"{path} is not known here: is it merged by a key, and which defaults does the server fill in?"
        for entry in items:
            yield from (f"{path} lacks {field}" for field in known or () if at(entry, field) is None)


def quantities(value, path=""):
    if isinstance(value, dict):
        for key, below in value.items():
            if key in ("requests", "limits"):
                yield from ((f"{path}.{key}.{name}", quantity) for name, quantity in below.items())
            elif key in ("averageValue", "sizeLimit"):
                yield f"{path}.{key}", below
            else:
                yield from quantities(below, f"{path}.{key}")
    elif isinstance(value, list):
        for below in value:
            yield from quantities(below, f"{path}[]")


def canonical(text):
    """Whether a quantity is what the server would write."""
    match = QUANTITY.fullmatch(str(text))
    if not isinstance(text, (str, int)) or not match:
        return False
    number, unit = int(match[1]), match[2]
    return number % {"": 1000, "m": 1000, "k": 1000, "Mi": 1024, "Gi": 1024}[unit] != 0


class Apply(unittest.TestCase):
    def test_what_is_compared_whole_is_said_whole(self):
        for folder in manifests.FOLDERS:
            for item in manifests.rendered(folder):
                with self.subTest(folder=folder, kind=item["kind"], name=item["metadata"]["name"]):
                    self.assertEqual(list(left_out(item)), [])

    def test_quantities_are_as_the_server_writes_them(self):
        seen = 0
        for folder in manifests.FOLDERS:
            for item in manifests.rendered(folder):
                for path, quantity in quantities(item):
                    seen += 1
                    self.assertTrue(canonical(quantity), f"{folder} {item['metadata']['name']}{path} {quantity!r}")
        self.assertGreater(seen, 20)

    def test_a_fault_would_be_seen(self):
        ports = {"kind": "NetworkPolicy", "spec": {"ingress": [{"ports": [{"port": "http"}]}]}}
        self.assertEqual(list(left_out(ports)), ["spec.ingress[].ports lacks protocol"])
        strategy = {"kind": "Deployment", "spec": {"strategy": {"rollingUpdate": {"maxSurge": 1}}}}
        self.assertEqual(list(left_out(strategy)), ["spec.strategy lacks type"])
        (unknown,) = left_out({"kind": "Service", "spec": {"unknown": [{"a": 1}]}})
        self.assertIn("is not known here", unknown)
        for text, good in (("5k", True), ("5000", False), ("1024Mi", False), ("1Gi", True), ("1000m", False), ("0.5", False)):
            self.assertIs(canonical(text), good, text)


if __name__ == "__main__":
    unittest.main()
