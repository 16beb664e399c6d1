"""What has to hold of every pod, whatever the schemas allow."""

import base64
import contextlib
import pathlib
import re
import tempfile
import unittest

import yaml

import manifests
from manifests import FOLDERS, OVERLAYS, of_kind, pods, selects, settings
from rollout import moves_each

VERSION = re.search(r'^version = "(.+)"$', (manifests.ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]


class Pods(unittest.TestCase):
    """The restricted profile of the Pod Security Standards, and what outlast asks for beyond it."""

    def each_container(self):
        for folder in FOLDERS:
            for name, _, spec in pods(folder):
                for container in spec.get("initContainers", []) + spec["containers"]:
                    with self.subTest(folder=folder, pod=name, container=container["name"]):
                        yield spec, container

    def test_restricted_profile(self):
        for spec, container in self.each_container():
            of_pod, own = spec.get("securityContext", {}), container.get("securityContext", {})
            both = {**of_pod, **own}
            self.assertIs(both.get("runAsNonRoot"), True)
            self.assertGreater(both.get("runAsUser", 0), 0)
            self.assertIn(both.get("seccompProfile", {}).get("type"), ["RuntimeDefault", "Localhost"])
            self.assertIs(own.get("allowPrivilegeEscalation"), False)
            self.assertEqual(own.get("capabilities"), {"drop": ["ALL"]})
            self.assertFalse(own.get("privileged"))
            self.assertFalse({"hostNetwork", "hostPID", "hostIPC"} & spec.keys())
            self.assertFalse(of_pod.get("sysctls"))
            self.assertFalse([port for port in container.get("ports", []) if "hostPort" in port])
            allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
            for volume in spec.get("volumes", []):
                self.assertLessEqual(volume.keys() - {"name"}, allowed)

    def test_beyond_the_profile(self):
        for spec, container in self.each_container():
            self.assertIs(container["securityContext"].get("readOnlyRootFilesystem"), True)
            self.assertIs(spec.get("automountServiceAccountToken"), False)
            self.assertIs(spec.get("enableServiceLinks"), False)
            resources = container.get("resources", {})
            self.assertIn("memory", resources.get("limits", {}))
            self.assertLessEqual({"cpu", "memory"}, resources.get("requests", {}).keys())

    def test_the_namespace_enforces_it(self):
        for folder in OVERLAYS:
            (namespace,) = of_kind(folder, "Namespace")
            self.assertEqual(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted")
            for item in manifests.rendered(folder):
                if item["kind"] != "Namespace":
                    self.assertEqual(item["metadata"].get("namespace"), "outlast", item["metadata"]["name"])

    def test_images_have_versions(self):
        for _, container in self.each_container():
            name, _, tag = container["image"].rpartition(":")
            self.assertTrue(name, container["image"])
            self.assertRegex(tag, r"^\d+\.\d+")
            if re.search(r"(^|/)(outlast|reconnect-storm)$", name):
                self.assertEqual(tag, VERSION)

    def test_secrets_are_files(self):
        for folder in FOLDERS:
            secrets = [] if folder != "k8s/overlays/dev" else ["outlast-redis"]
            names = [re.sub(r"-[0-9a-z]{10}$", "", item["metadata"]["name"]) for item in of_kind(folder, "Secret")]
            self.assertEqual(names, secrets)
        # Nobody shall take what development brings for a secret.
        for secret in of_kind("k8s/overlays/dev", "Secret"):
            values = {base64.b64decode(value).decode() for value in secret["data"].values()}
            self.assertEqual(values, {"for-development-only"})
        for _, container in self.each_container():
            for entry in container.get("env", []):
                self.assertNotIn("secretKeyRef", entry.get("valueFrom", {}))
            for entry in container.get("envFrom", []):
                self.assertNotIn("secretRef", entry)


class Life(unittest.TestCase):
    """How pods come and go."""

    def outlast(self):
        for folder in OVERLAYS:
            for item in of_kind(folder, "Deployment"):
                with self.subTest(folder=folder, name=item["metadata"]["name"]):
                    yield folder, item

    def test_every_role_is_there(self):
        for folder in OVERLAYS:
            names = {item["metadata"]["name"] for item in of_kind(folder, "Deployment")}
            self.assertEqual(names, {"gateway", "worker", "sessions"})

    def test_probes(self):
        for _, item in self.outlast():
            for container in item["spec"]["template"]["spec"]["containers"]:
                probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
                self.assertEqual({probe["port"] for probe in probes.values()}, {"admin"})
                self.assertEqual(probes["readiness"]["path"], "/readyz")
                # A store that is away is no reason to kill what holds sockets.
                self.assertEqual(probes["liveness"]["path"], "/healthz")
        for name, _, spec in pods("k8s/overlays/dev"):
            for container in spec["containers"]:
                self.assertIn("readinessProbe", container, name)
                self.assertIn("livenessProbe", container, name)

    def test_grace_is_longer_than_the_drain(self):
        for folder, item in self.outlast():
            spec = item["spec"]["template"]["spec"]
            (container,) = spec["containers"]
            sleep_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            drain_s = int(settings(folder)["OUTLAST_DRAIN_MS"]) / 1000
            self.assertGreaterEqual(spec["terminationGracePeriodSeconds"], sleep_s + drain_s + 5)
            if item["metadata"]["name"] == "gateway":
                self.assertGreaterEqual(sleep_s, 3)
                self.assertGreaterEqual(item["spec"]["minReadySeconds"], sleep_s + drain_s)

    def test_rollouts_and_disruptions(self):
        for folder, item in self.outlast():
            rolling = item["spec"]["strategy"]["rollingUpdate"]
            surge = "100%" if item["metadata"]["name"] == "gateway" else 1
            self.assertEqual(rolling, {"maxSurge": surge, "maxUnavailable": 0})
            labels = item["spec"]["template"]["metadata"]["labels"]
            budgets = [b for b in of_kind(folder, "PodDisruptionBudget") if selects(b["spec"]["selector"], labels)]
            self.assertEqual([budget["spec"]["maxUnavailable"] for budget in budgets], [1])
            spreads = item["spec"]["template"]["spec"]["topologySpreadConstraints"]
            keys = {spread["topologyKey"] for spread in spreads}
            self.assertEqual(keys, {"kubernetes.io/hostname", "topology.kubernetes.io/zone"})
            for spread in spreads:
                self.assertTrue(selects(spread["labelSelector"], labels))

    def test_a_rollout_moves_each_client_once(self):
        for folder, item in self.outlast():
            if item["metadata"]["name"] != "gateway":
                continue
            drain_s = int(settings(folder)["OUTLAST_DRAIN_MS"]) // 1000 - 5
            percent = int(item["spec"]["strategy"]["rollingUpdate"]["maxSurge"].removesuffix("%"))
            for gateways in (2, 3, 10):
                surge = -(-gateways * percent // 100)
                moves, took_s = moves_each(gateways, surge, item["spec"]["minReadySeconds"], drain_s)
                self.assertEqual(moves, 1)
                self.assertLess(took_s, 90)
        # One after the other, as it was: the model is one of what was seen, 704 moves of 600 clients in 115 s.
        moves, took_s = moves_each(2, 1, 40, 25)
        self.assertAlmostEqual(moves, 704 / 600, delta=0.06)
        self.assertAlmostEqual(took_s, 115, delta=5)

    def test_either_the_overlay_or_the_autoscaler_says_how_many_there_are(self):
        for folder, item in self.outlast():
            name = item["metadata"]["name"]
            scalers = [s["spec"] for s in of_kind(folder, "HorizontalPodAutoscaler") if s["spec"]["scaleTargetRef"]["name"] == name]
            if scalers:
                # Each apply would set it back.
                self.assertNotIn("replicas", item["spec"])
                self.assertGreaterEqual(scalers[0]["minReplicas"], 2)
            else:
                self.assertGreaterEqual(item["spec"].get("replicas", 1), 2)
        # Taken out by the apply that brings the autoscaler, it would be 1 until that one has looked.
        base = {item["metadata"]["name"]: item for item in of_kind("k8s/base", "Deployment")}
        self.assertNotIn("replicas", base["gateway"]["spec"])

    def test_a_start_waits_for_redis(self):
        for folder in OVERLAYS:
            # A container that ran for ten minutes is started again at once.
            self.assertGreaterEqual(int(settings(folder)["OUTLAST_STORE_WAIT_MS"]), 600_000)
        services = yaml.load((manifests.ROOT / "docker-compose.yml").read_text(), manifests.Loader)["services"]
        for name in ("gateway-1", "gateway-2", "worker", "sessions"):
            self.assertGreaterEqual(int(services[name]["environment"]["OUTLAST_STORE_WAIT_MS"]), 600_000)

    def test_a_node_that_vanishes_is_noticed(self):
        for folder in OVERLAYS:
            heartbeat_ms = int(settings(folder)["OUTLAST_HEARTBEAT_MS"])
            self.assertLessEqual(2 * heartbeat_ms, 20_000)
            (ingress,) = of_kind(folder, "Ingress")
            silence_s = int(ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-read-timeout"])
            self.assertGreater(silence_s, 3 * heartbeat_ms / 1000)

    def test_the_autoscaler_goes_down_slowly(self):
        (scaler,) = of_kind("k8s/overlays/production", "HorizontalPodAutoscaler")
        down = scaler["spec"]["behavior"]["scaleDown"]
        self.assertGreaterEqual(down["stabilizationWindowSeconds"], 600)
        self.assertEqual([policy["value"] for policy in down["policies"]], [1])
        self.assertGreaterEqual(scaler["spec"]["minReplicas"], 2)
        gateway = next(d for d in of_kind("k8s/overlays/production", "Deployment") if d["metadata"]["name"] == "gateway")
        self.assertNotIn("replicas", gateway["spec"])

    def test_every_setting_is_one_of_the_binary(self):
        known = set(re.findall(r"\[env: ([A-Z_]+)", manifests.run(str(manifests.OUTLAST), "--help")))
        self.assertGreater(len(known), 10)
        # OpenTelemetry's own, which docs/operating.md names.
        known |= {"OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}
        for folder in OVERLAYS:
            self.assertLessEqual(settings(folder).keys(), known)
            for _, _, spec in pods(folder):
                for container in spec["containers"]:
                    names = {entry["name"] for entry in container.get("env", [])}
                    self.assertLessEqual(names, known)


class Store(unittest.TestCase):
    """Each role is a Redis user of its own."""

    def test_each_role_has_its_own_password_and_no_other(self):
        for folder in OVERLAYS:
            self.assertEqual(settings(folder)["OUTLAST_STORE_PASSWORD_FILE"], "/run/secrets/redis/password")
            for item in of_kind(folder, "Deployment"):
                role, spec = item["metadata"]["name"], item["spec"]["template"]["spec"]
                with self.subTest(folder=folder, role=role):
                    (container,) = spec["containers"]
                    users = [e["value"] for e in container["env"] if e["name"] == "OUTLAST_STORE_USER"]
                    self.assertEqual(users, [f"outlast-{role}"])
                    (volume,) = [volume for volume in spec["volumes"] if volume["name"] == "redis"]
                    self.assertEqual(volume["secret"]["items"], [{"key": role, "path": "password"}])
                    self.assertEqual(volume["secret"]["defaultMode"] & 0o7, 0)
                    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "redis"]
                    self.assertEqual((mount["mountPath"], mount["readOnly"]), ("/run/secrets/redis", True))

    def test_the_users_are_those_of_the_guide(self):
        mine, theirs = (manifests.ROOT / path for path in ("k8s/components/redis/users.acl", "store/src/redis/acl/users.acl"))
        self.assertEqual(mine.read_text(), theirs.read_text())

    def test_redis_lets_each_role_in_and_nobody_else(self):
        """What the pods of `dev` run, as processes here: the script of its Redis, its arguments, and the roles."""
        ((redis, login),) = [
            (spec["containers"][0], spec["initContainers"][0])
            for name, _, spec in pods("k8s/overlays/dev")
            if name == "redis"
        ]
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stop:
            here = pathlib.Path(folder)
            paths = {"/run/acl": "acl", "/etc/redis-users": "users", "/run/secrets/redis": "passwords", "/etc/redis-login": "login"}
            paths = {path: str(here / name) for path, name in paths.items()} | {"/data": folder}
            for path in paths.values():
                pathlib.Path(path).mkdir(exist_ok=True)
            for config in of_kind("k8s/overlays/dev", "ConfigMap"):
                for name in config["data"].keys() & {"users.acl", "login.sh"}:
                    text = config["data"][name]
                    for path, there in paths.items():
                        text = text.replace(path, there)
                    (here / {"users.acl": "users", "login.sh": "login"}[name] / name).write_text(text)
            for role in ("gateway", "worker", "sessions"):
                (here / "passwords" / role).write_text(f"the password of {role}\n")
            manifests.run(*[re.sub("^/etc/redis-login", paths["/etc/redis-login"], word) for word in login["command"]])

            port = manifests.free_port()
            words = [paths.get(word, word.replace("/run/acl", paths["/run/acl"])) for word in redis["args"]]
            stop.enter_context(manifests.running(*words, "--port", str(port), "--bind", "127.0.0.1", ready=b"Ready to accept"))
            for role in ("gateway", "worker", "sessions"):
                flags = ["--store", f"redis://127.0.0.1:{port}", "--store-user", f"outlast-{role}", "--admin-listen", "off"]
                flags += ["--store-password-file", str(here / "passwords" / role)]
                flags += ["--listen", "127.0.0.1:0", "--allow-anonymous"]
                stop.enter_context(manifests.running(str(manifests.OUTLAST), role, *flags, ready=b"ready"))
            ask = ["redis-cli", "-p", str(port)]
            _, *probe = redis["readinessProbe"]["exec"]["command"]
            self.assertEqual(manifests.run(*ask, *probe).strip(), "PONG")
            as_probe = [word for word in probe if word not in ("-e", "ping")]
            for words, refusal in (
                (["PING"], "NOAUTH"),
                ([*as_probe, "GET", "ol:store"], "NOPERM"),
                (["AUTH", "outlast-worker", "the password of gateway"], "WRONGPASS"),
                (["AUTH", "default", ""], "WRONGPASS"),
            ):
                self.assertIn(refusal, manifests.run(*ask, *words, check=False))

    def test_redis_keeps_its_address(self):
        """A headless Service is found again only when DNS forgets where the last pod was."""
        host = settings("k8s/overlays/dev")["OUTLAST_STORE"].removeprefix("redis://").split(":")[0]
        (service,) = [item["spec"] for item in of_kind("k8s/overlays/dev", "Service") if item["metadata"]["name"] == host]
        self.assertEqual(service["type"], "ClusterIP")
        self.assertNotIn("clusterIP", service)


class Network(unittest.TestCase):
    def test_nothing_is_allowed_that_is_not_said(self):
        for folder in OVERLAYS:
            policies = {item["metadata"]["name"]: item["spec"] for item in of_kind(folder, "NetworkPolicy")}
            deny = policies["default-deny"]
            self.assertEqual(deny, {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})

    def test_only_outlast_reaches_redis(self):
        policies = of_kind("k8s/overlays/dev", "NetworkPolicy")
        redis = {"app.kubernetes.io/name": "redis"}
        into = [p for p in policies if p["spec"]["podSelector"] and selects(p["spec"]["podSelector"], redis)]
        (rule,) = [rule for policy in into for rule in policy["spec"].get("ingress", [])]
        self.assertEqual(rule["from"], [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "outlast"}}}])
        self.assertEqual(rule["ports"], [{"port": "redis", "protocol": "TCP"}])

    def test_backends_reach_the_api_where_both_sides_have_said_so(self):
        client = {"matchLabels": {"outlast/api-client": "true"}}
        monitoring = {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
        for folder in OVERLAYS:
            of_outlast = [labels for name, labels, _ in pods(folder) if labels["app.kubernetes.io/name"] == "outlast"]
            for labels in of_outlast:
                policies = [p["spec"] for p in of_kind(folder, "NetworkPolicy") if selects(p["spec"]["podSelector"], labels)]
                rules = [rule for spec in policies for rule in spec.get("ingress", [])]
                admitted = [peer for rule in rules if {"port": "admin", "protocol": "TCP"} in rule["ports"] for peer in rule["from"]]
                expected = [{"namespaceSelector": monitoring}]
                if labels["app.kubernetes.io/component"] == "gateway":
                    expected.append({"namespaceSelector": client, "podSelector": client})
                self.assertCountEqual(admitted, expected)
            (api,) = [item["spec"] for item in of_kind(folder, "Service") if item["metadata"]["name"] == "api"]
            self.assertEqual([port["targetPort"] for port in api["ports"]], ["admin"])
            chosen = [labels for labels in of_outlast if selects(api["selector"], labels)]
            self.assertEqual([labels["app.kubernetes.io/component"] for labels in chosen], ["gateway"])

    def test_traces_reach_the_collector_that_is_named(self):
        folder = "k8s/overlays/production"
        host, port = settings(folder)["OTEL_EXPORTER_OTLP_ENDPOINT"].removeprefix("http://").split(":")
        (policy,) = [p["spec"] for p in of_kind(folder, "NetworkPolicy") if p["metadata"]["name"] == "outlast-to-collector"]
        (rule,) = policy["egress"]
        self.assertEqual(rule["ports"], [{"port": int(port), "protocol": "TCP"}])
        (peer,) = rule["to"]
        namespace = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        self.assertEqual(host.split(".")[1], namespace)

    def test_names_lead_to_something(self):
        for folder in OVERLAYS:
            templates = [(labels, spec) for _, labels, spec in pods(folder)]
            for item in of_kind(folder, "Service", "NetworkPolicy"):
                spec = item["spec"]
                selector = spec["selector"] if item["kind"] == "Service" else spec["podSelector"]
                chosen = [pod for labels, pod in templates if selects(selector, labels)]
                with self.subTest(folder=folder, kind=item["kind"], name=item["metadata"]["name"]):
                    self.assertTrue(chosen)
                    ports = [port.get("targetPort", port["port"]) for port in spec.get("ports", [])]
                    ports += [port["port"] for rule in spec.get("ingress", []) for port in rule.get("ports", [])]
                    for pod in chosen:
                        named = {port["name"] for container in pod["containers"] for port in container.get("ports", [])}
                        for port in ports:
                            self.assertIn(port, named)

    def test_sockets_may_last(self):
        for folder in OVERLAYS:
            (ingress,) = of_kind(folder, "Ingress")
            annotations = ingress["metadata"]["annotations"]
            for way in ("read", "send"):
                self.assertGreaterEqual(int(annotations[f"nginx.ingress.kubernetes.io/proxy-{way}-timeout"]), 600)
        (route,) = of_kind("k8s/overlays/production", "HTTPRoute")
        for rule in route["spec"]["rules"]:
            self.assertEqual(rule["timeouts"], {"request": "0s", "backendRequest": "0s"})


if __name__ == "__main__":
    unittest.main()
