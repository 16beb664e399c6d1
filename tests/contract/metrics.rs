//! docs/metrics.md and `/metrics` say the same.

use std::collections::BTreeSet;

use outlast_store::telemetry::{Kind, Metric};
use outlast_testkit::{Server, frames::act, free_address};
use serde_json::json;

use crate::command_line::get;

const PAGE: &str = include_str!("../../docs/metrics.md");

fn all() -> impl Iterator<Item = &'static Metric> {
    let tables = [
        outlast_gateway::METRICS,
        outlast_worker::METRICS,
        outlast_sessions::METRICS,
        outlast_store::telemetry::METRICS,
        outlast::METRICS,
    ];
    tables.into_iter().flatten()
}

#[test]
fn every_metric_has_its_row_and_every_row_its_metric() {
    let row = |metric: &Metric| {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<_> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        format!(
            "| `{}` | {kind} | {} | {} |",
            metric.name,
            labels.join(", "),
            metric.help
        )
    };
    let counted: BTreeSet<_> = all().map(row).collect();
    let documented: BTreeSet<_> = PAGE
        .lines()
        .filter(|line| line.starts_with("| `outlast_"))
        .map(str::to_owned)
        .collect();
    assert_eq!(counted, documented);
    assert_eq!(
        all()
            .map(|metric| metric.name)
            .collect::<BTreeSet<_>>()
            .len(),
        counted.len()
    );
    for metric in all() {
        assert_eq!(
            metric.name.ends_with("_total"),
            metric.kind == Kind::Counter,
            "{}",
            metric.name
        );
    }
}

#[tokio::test]
async fn what_a_process_exports_is_documented_and_described() {
    let admin = free_address();
    let server = Server::alone(&["--admin-listen", &admin]);
    let mut ada = server.member("chat/metrics", "Ada").await;
    ada.say("chat/metrics", 2, "hello").await;
    ada.send(act("chat/elsewhere", 1, json!({"say": "hello"})))
        .await;
    ada.find("error").await;
    let mut again = ada
        .resume_at(server.address(), json!({"chat/metrics": ada.pos}))
        .await;
    again.find("live").await;
    ada.closes_with(4002).await;

    let (_, text) = get(&admin, "/metrics");
    let of_kind = |what: &str| -> BTreeSet<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(what));
        lines
            .filter_map(|line| line.split(' ').next())
            .map(str::to_owned)
            .collect()
    };
    let (typed, helped) = (of_kind("# TYPE "), of_kind("# HELP "));
    assert_eq!(typed, helped, "each says what it means");
    let known: BTreeSet<_> = all().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(
        typed.difference(&known).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
    // All that needs no event to tell its series apart is there from the start; the rest that an
    // ordinary life brings about is here, too.
    let rare = [
        "outlast_gateway_admission_refused_total",
        "outlast_gateway_log_read_sharers",
        "outlast_gateway_moved_total",
        "outlast_store_clock_jumps_total",
    ];
    let mut missing = known.difference(&typed).map(String::as_str);
    let gone = missing.find(|name| !rare.contains(name));
    assert_eq!(gone, None);
    for line in [
        "outlast_gateway_sockets 1",
        "outlast_gateway_attaches_total{outcome=\"attached\"} 2",
        "outlast_gateway_catch_ups_total{kind=\"replay\"} 1",
        "outlast_sessions_opened_total 1",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line:?} is not in\n{text}"
        );
    }
    // Who stood still for as long as a lease lasts has claimed some of them twice.
    let claimed = "outlast_store_lease_changes_total{lease=\"partition\",outcome=\"claimed\"} ";
    let claimed = text.lines().find_map(|line| line.strip_prefix(claimed));
    assert!(claimed.unwrap().parse::<u64>().unwrap() >= 16);
}
