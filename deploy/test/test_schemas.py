"""Every object is what its schema says, and has no field that it does not know."""

import json
import pathlib
import tempfile
import unittest

import kubernetes_validate

import manifests

KUBERNETES = "1.37"
CUSTOM = ("gateway.networking.k8s.io/", "monitoring.coreos.com/")


class Schemas(unittest.TestCase):
    def test_objects_of_kubernetes(self):
        for folder in manifests.FOLDERS:
            for item in manifests.rendered(folder):
                if not item["apiVersion"].startswith(CUSTOM):
                    with self.subTest(folder=folder, kind=item["kind"], name=item["metadata"]["name"]):
                        kubernetes_validate.validate(item, KUBERNETES, strict=True)

    def test_custom_resources(self):
        check = str(pathlib.Path(__file__).with_name("custom-resources.mjs"))
        seen = set()
        for folder in manifests.FOLDERS:
            items = [item for item in manifests.rendered(folder) if item["apiVersion"].startswith(CUSTOM)]
            seen |= {item["kind"] for item in items}
            if items:
                with self.subTest(folder=folder), tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                    json.dump(items, file)
                    file.flush()
                    manifests.run("node", check, file.name)
        self.assertEqual(seen, {"HTTPRoute", "ServiceMonitor", "PrometheusRule"})

    def test_a_fault_would_be_seen(self):
        item = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"portz": []}}
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(item, KUBERNETES, strict=True)
        route = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "x"}}
        check = str(pathlib.Path(__file__).with_name("custom-resources.mjs"))
        for spec in ({"rulez": []}, {"rules": [{"timeouts": {"request": "soon"}}]}):
            with tempfile.NamedTemporaryFile("w", suffix=".json") as file, self.subTest(spec=spec):
                json.dump([{**route, "spec": spec}], file)
                file.flush()
                with self.assertRaises(AssertionError):
                    manifests.run("node", check, file.name)

    def test_dev_needs_no_custom_resource(self):
        for item in manifests.rendered("k8s/overlays/dev"):
            self.assertFalse(item["apiVersion"].startswith(CUSTOM), item["kind"])


if __name__ == "__main__":
    unittest.main()
