"""Alerts and the dashboard ask for metrics that there are, and every alert is explained."""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import unittest
import urllib.request

import yaml

import manifests

FOLDER = "k8s/overlays/production"
PROMTOOL = os.environ.get("PROMTOOL", "promtool")
METRIC = re.compile(r"\boutlast_[a-z_]+")
# Where it matters that the first event is an increase, the series has to be there before it.
ALARM = re.compile(r"increase\((outlast_[a-z_]+(?:\{[^}]*\})?)")


def rules():
    (rule,) = manifests.of_kind(FOLDER, "PrometheusRule")
    return rule["spec"]["groups"]


def alerts():
    return [alert for group in rules() for alert in group["rules"]]


def dashboard():
    (config,) = [c for c in manifests.of_kind(FOLDER, "ConfigMap") if "dashboard.json" in c["data"]]
    return json.loads(config["data"]["dashboard.json"])


def expressions():
    yield from (alert["expr"] for alert in alerts())
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for scaler in manifests.of_kind(FOLDER, "HorizontalPodAutoscaler"):
        yield from (metric["pods"]["metric"]["name"] for metric in scaler["spec"]["metrics"])


def named_in_the_code():
    texts = (path.read_text() for path in manifests.ROOT.glob("*/src/**/telemetry.rs"))
    return {name for text in texts for name in METRIC.findall(text)}


@contextlib.contextmanager
def exported():
    """What a fresh process exports."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        admin = f"127.0.0.1:{free.getsockname()[1]}"
    flags = ["--store", "memory:", "--listen", "127.0.0.1:0", "--admin-listen", admin, "--allow-anonymous"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAST_")}
    process = subprocess.Popen([manifests.OUTLAST, "all", *flags], stdout=subprocess.PIPE, env=environment)
    try:
        assert b"ready" in process.stdout.readline()
        with urllib.request.urlopen(f"http://{admin}/metrics", timeout=10) as answer:
            yield answer.read().decode()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def promtool_test(alert, inputs, fired):
    """A test that an alert fires, or does not, in the twentieth minute of these series, a value a minute."""
    series = [
        {"series": name.replace("}", ", " * ("{}" not in name) + 'namespace="outlast", pod="a"}'), "values": values}
        for name, values in inputs.items()
    ]
    expected = [{"labels": "{}", "value": 1}] if fired else []
    ask = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) > 0'
    return {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "30s",
        "tests": [{
            "interval": "1m",
            "input_series": series,
            "promql_expr_test": [{"expr": f"{ask}", "eval_time": "20m", "exp_samples": expected}],
        }],
    }


# For each alert, what makes it fire, and what looks alike and does not.
CASES = {
    "OutlastDown": ({'up{job="outlast-admin"}': "1x16 0x10"}, {'up{job="outlast-admin"}': "1x18 0 1x10"}),
    "OutlastGatewaySilent": (
        {"outlast_sessions_gateways_declared_dead_total{}": "0x15 1x10"},
        {"outlast_sessions_gateways_declared_dead_total{}": "7x30"},
    ),
    "OutlastLeaseFlapping": (
        {"outlast_worker_partitions_lost_total{}": "0x10 1+1x20"},
        {"outlast_worker_partitions_lost_total{}": "0x10 1x20"},
    ),
    "OutlastPartitionsWithoutWorker": (
        {"outlast_worker_partitions_held{}": "16x15 8x15"},
        {"outlast_worker_partitions_held{}": "16x19 8 16x10"},
    ),
    "OutlastCatchUpBacklog": (
        {"outlast_gateway_catching_up{}": "0x10 900x20", "outlast_gateway_sockets{}": "1000x30"},
        {"outlast_gateway_catching_up{}": "0x19 900 0x10", "outlast_gateway_sockets{}": "1000x30"},
    ),
    "OutlastAdmissionFull": (
        {'outlast_gateway_admission_refused_total{lane="resume"}': "0x10 0+600x20"},
        {'outlast_gateway_admission_refused_total{lane="resume"}': "0x13 600 1200x10"},
    ),
    "OutlastCommitsSlow": (
        {'outlast_worker_commit_seconds{quantile="0.99"}': "0.4x30"},
        {'outlast_worker_commit_seconds{quantile="0.5"}': "0.4x30"},
    ),
    "OutlastStoreRefuses": (
        {'outlast_gateway_actions_refused_total{code="busy"}': "0+600x30"},
        {'outlast_gateway_actions_refused_total{code="rate_limited"}': "0+600x30"},
    ),
    "OutlastStoreAway": (
        {'outlast_store_requests_failed_total{request="connect"}': "0x10 0+60x20"},
        {'outlast_store_requests_failed_total{request="heartbeat"}': "0x10 40x20", 'outlast_store_requests_failed_total{request="append"}': "0+60x30"},
    ),
    "OutlastStoreSlow": (
        {'outlast_store_request_seconds{quantile="0.99", request="append"}': "0.2x30"},
        {'outlast_store_request_seconds{quantile="0.5", request="append"}': "0.2x30"},
    ),
    "OutlastSessionsNearLimit": (
        {'outlast_gateway_closes_total{code="too_many_sessions"}': "0+5x30"},
        {'outlast_gateway_closes_total{code="moved"}': "0+5x30"},
    ),
    "OutlastGatewaysFull": ({"outlast_gateway_sockets{}": "8000x30"}, {"outlast_gateway_sockets{}": "6000x30"}),
    "OutlastHistoryLost": (
        {'outlast_gateway_snapshots_total{reason="diverged"}': "0x15 1x10"},
        {'outlast_gateway_snapshots_total{reason="trimmed"}': "0x15 1x10"},
    ),
    "OutlastUnreadable": (
        {"outlast_worker_rooms_stopped_total{}": "0x15 1x10", "outlast_worker_inputs_unread_total{}": "0x30"},
        {"outlast_worker_rooms_stopped_total{}": "3x30", "outlast_worker_inputs_unread_total{}": "0x30", "outlast_worker_rooms_stopped{}": "0x30"},
    ),
    "OutlastPoison": (
        {"outlast_worker_inputs_set_aside_total{}": "0x15 1x10", "outlast_worker_rooms_quarantined_total{}": "0x30"},
        {"outlast_worker_inputs_set_aside_total{}": "2x30", "outlast_worker_rooms_quarantined_total{}": "1x30"},
    ),
    "OutlastSessionUnreadable": (
        {"outlast_sessions_unreadable_total{}": "0x15 1x10"},
        {"outlast_sessions_unreadable_total{}": "2x30"},
    ),
    "OutlastSnapshotsFail": (
        {"outlast_worker_snapshots_failed_total{}": "0x15 1x10"},
        {"outlast_worker_snapshots_failed_total{}": "2x30"},
    ),
    "OutlastRoomFaults": (
        {"outlast_worker_room_faults_total{}": "0x15 1x10"},
        {"outlast_worker_room_faults_total{}": "4x30"},
    ),
}


class Monitoring(unittest.TestCase):
    def test_every_metric_is_one_of_the_code(self):
        known = named_in_the_code()
        self.assertGreater(len(known), 20)
        for expression in expressions():
            for name in METRIC.findall(expression):
                self.assertIn(re.sub(r"_(bucket|count|sum)$", "", name), known, expression)

    def test_an_alarm_sees_the_first_event(self):
        with exported() as text:
            for alert in alerts():
                for series in ALARM.findall(alert["expr"]):
                    with self.subTest(alert=alert["alert"], series=series):
                        self.assertRegex(text, f"(?m)^{re.escape(series)} 0$")

    def test_promql(self):
        groups = rules()
        drawn = [
            {"record": f"panel:{n}", "expr": re.sub(r"\$__rate_interval", "1m", expression)}
            for n, expression in enumerate(expressions())
        ]
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "rules.yaml")
            file.write_text(yaml.safe_dump({"groups": groups + [{"name": "dashboard", "rules": drawn}]}))
            manifests.run(PROMTOOL, "check", "rules", str(file))
            file.write_text(yaml.safe_dump({"groups": groups}))

    def test_alerts_fire_when_they_should(self):
        self.assertEqual(CASES.keys(), {alert["alert"] for alert in alerts()})
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "rules.yaml").write_text(yaml.safe_dump({"groups": rules()}))
            for name, (fires, quiet) in CASES.items():
                for inputs, fired in ((fires, True), (quiet, False)):
                    with self.subTest(alert=name, fired=fired):
                        test = pathlib.Path(folder, "test.yaml")
                        test.write_text(yaml.safe_dump(promtool_test(name, inputs, fired)))
                        manifests.run(PROMTOOL, "test", "rules", str(test))

    def test_every_alert_is_explained(self):
        guide = (manifests.ROOT / "docs/operating.md").read_text()
        explained = set(re.findall(r"^\| `(Outlast\w+)`", guide, re.MULTILINE))
        self.assertEqual(explained, {alert["alert"] for alert in alerts()})
        for alert in alerts():
            self.assertIn(alert["labels"]["severity"], ["warning", "critical"])

    def test_numbers_agree(self):
        by_name = {alert["alert"]: alert["expr"] for alert in alerts()}
        partitions = manifests.settings(FOLDER)["OUTLAST_PARTITIONS"]
        self.assertTrue(by_name["OutlastPartitionsWithoutWorker"].endswith(f"< {partitions}"))
        (scaler,) = manifests.of_kind(FOLDER, "HorizontalPodAutoscaler")
        target = scaler["spec"]["metrics"][0]["pods"]["target"]["averageValue"]
        self.assertIn(f"* {target.replace('k', '000')}", by_name["OutlastGatewaysFull"])

    def test_panels_do_not_overlap(self):
        places = [panel["gridPos"] for panel in dashboard()["panels"]]
        cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
        self.assertEqual(len(cells), len(set(cells)))
        self.assertLessEqual(max(x for x, _ in cells), 23)


if __name__ == "__main__":
    unittest.main()
