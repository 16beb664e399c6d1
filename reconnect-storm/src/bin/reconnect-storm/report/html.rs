//! The report as one page that needs nothing but itself, and as a picture.

use std::fmt::Write;

use super::{
    Fact, Memory, Point, Run,
    chart::{self, Chart, Curve, escape},
    thousands,
};

const STYLE: &str = include_str!("page.css");
const PICTURE_STYLE: &str = include_str!("picture.css");

/// A page for people.
pub(crate) fn page(runs: &[Run], command: &str) -> String {
    let mut body = String::new();
    for run in runs {
        section(&mut body, run);
    }
    let sound = runs.iter().all(Run::is_clean);
    let entries: usize = runs.iter().map(|run| run.verdict.entries_seen).sum();
    let (class, verdict) = if sound {
        let entries = thousands(entries as f64);
        (
            "good",
            format!("Nothing lost, nothing doubled, nothing out of order, in {entries} entries"),
        )
    } else {
        ("bad", "Not sound: see below".to_owned())
    };
    let nav = if runs.len() > 1 {
        let links = runs
            .iter()
            .map(|run| format!(r##"<a href="#{0}">{0}</a>"##, run.scenario));
        format!("<nav>{}</nav>", links.collect::<String>())
    } else {
        String::new()
    };
    let command = escape(command);
    format!(
        r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>reconnect-storm</title>
<style>{STYLE}</style>
<header>
<p class="mark">outlast · reconnect-storm</p>
<h1 class="{class}">{verdict}</h1>
<pre><code>{command}</code></pre>
{nav}
</header>
<main>
{body}</main>
</html>
"#
    )
}

fn section(page: &mut String, run: &Run) {
    let Run {
        scenario,
        what,
        machine,
        verdict,
        ..
    } = run;
    // Writing into a string cannot fail.
    write!(
        page,
        r#"<section id="{scenario}"><h2>{scenario}</h2><p class="what">{}</p><dl class="tiles">"#,
        escape(what)
    )
    .ok();
    for fact in run.facts.iter().filter(|fact| fact.is_headline) {
        write!(
            page,
            "<div><dt>{}</dt><dd>{}</dd></div>",
            escape(&fact.name),
            escape(&fact.text())
        )
        .ok();
    }
    let class = if run.is_clean() { "good" } else { "bad" };
    let wrong = verdict.total() + run.failures.len();
    write!(
        page,
        r#"<div><dt>found wrong</dt><dd class="{class}">{wrong}</dd></div></dl>"#
    )
    .ok();
    for trouble in run.failures.iter().cloned().chain(verdict.examples()) {
        write!(page, r#"<p class="bad">{}</p>"#, escape(&trouble)).ok();
    }
    page.push_str(r#"<div class="charts">"#);
    for chart in charts(run) {
        write!(
            page,
            r#"<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>"#,
            chart::WIDTH,
            chart::HEIGHT,
            escape(chart.title),
            chart.draw()
        )
        .ok();
    }
    page.push_str("</div><table>");
    for fact in &run.facts {
        write!(
            page,
            r#"<tr><th>{}</th><td class="value">{}</td><td>{}</td></tr>"#,
            escape(&fact.name),
            escape(&fact.text()),
            escape(&fact.note)
        )
        .ok();
    }
    page.push_str("</table>");
    for warning in &run.warnings {
        write!(page, r#"<p class="beware">{}</p>"#, escape(warning)).ok();
    }
    write!(
        page,
        r#"<p class="small">{}.<br>{}; jitter {}, seed {}.</p>"#,
        escape(&verdict.summary()),
        escape(&machine.to_string()),
        run.jitter,
        run.seed
    )
    .ok();
    if !run.counters.is_empty() {
        page.push_str("<details><summary>What the gateways counted</summary><table>");
        for (series, value) in &run.counters {
            let value = thousands(*value);
            write!(
                page,
                r#"<tr><th class="series">{}</th><td class="value">{value}</td></tr>"#,
                escape(series)
            )
            .ok();
        }
        page.push_str("</table></details>");
    }
    page.push_str("</section>\n");
}

/// The run as a picture for a README.
pub(crate) fn picture(run: &Run) -> String {
    const MARGIN: f64 = 28.0;
    const HEAD: f64 = 92.0;
    let charts = charts(run);
    let width = 2.0 * chart::WIDTH + 3.0 * MARGIN;
    let rows = charts.len().div_ceil(2) as f64;
    let height = HEAD + rows * (chart::HEIGHT + MARGIN);
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"><style>{PICTURE_STYLE}</style><rect class="ground" width="{width}" height="{height}" rx="14"/>"#
    );
    chart::text(&mut svg, "head", MARGIN, 40.0, "start", &run.what);
    let headline: Vec<String> = run
        .facts
        .iter()
        .filter(|fact| fact.is_headline)
        .map(|fact: &Fact| format!("{} {}", fact.name, fact.text()))
        .collect();
    let wrong = run.verdict.total();
    let line = format!(
        "{} · lost, doubled or out of order: {wrong}",
        headline.join(" · ")
    );
    chart::text(&mut svg, "tick", MARGIN, 64.0, "start", &line);
    for (index, chart) in charts.iter().enumerate() {
        let x = MARGIN + (index % 2) as f64 * (chart::WIDTH + MARGIN);
        let y = HEAD + (index / 2) as f64 * (chart::HEIGHT + MARGIN);
        write!(
            svg,
            r#"<g transform="translate({x} {y})">{}</g>"#,
            chart.draw()
        )
        .ok();
    }
    svg.push_str("</svg>\n");
    svg
}

fn charts(run: &Run) -> Vec<Chart<'static>> {
    let points = &run.curves;
    let (from_s, to_s) = window(points);
    let curve = |name: &str, class: &str, points: &[Point], of: fn(&Point) -> Option<f64>| Curve {
        name: name.into(),
        class: class.into(),
        points: points
            .iter()
            .filter_map(|point| Some((point.at_s, of(point)?)))
            .collect(),
    };
    let mut back = vec![
        curve("without a socket", "c1", points, |point| {
            Some(point.out as f64)
        }),
        curve("back", "c2", points, |point| Some(point.back as f64)),
        curve("caught up", "c0", points, |point| {
            Some(point.caught_up as f64)
        }),
    ];
    let moved = |point: &Point| Some(point.moved as f64);
    if points.iter().any(|point| point.moved > 0) {
        back.push(curve("moved", "c3", points, moved));
    }
    let mut attaches = vec![curve("attaches", "c0", points, |point| {
        Some(point.attaches_per_s)
    })];
    if !run.bare_curves.is_empty() {
        let bare = &run.bare_curves;
        back.push(curve("bare: back", "bare", bare, |point| {
            Some(point.back as f64)
        }));
        attaches.push(curve("bare: upgrades", "bare", bare, |point| {
            Some(point.attaches_per_s)
        }));
    }
    let latency = vec![
        curve("99 %", "c0", points, |point| point.p99_ms),
        curve("half", "c2", points, |point| point.p50_ms),
    ];
    let chart = |title, curves, label, is_logarithmic| Chart {
        title,
        curves,
        label,
        is_logarithmic,
        from_s,
        to_s,
    };
    let ms = |value: f64| format!("{value} ms");
    let mebibytes = |value: f64| format!("{value:.0} MiB");
    vec![
        chart("Clients out, back and caught up", back, thousands, false),
        chart("Attaches a second", attaches, thousands, false),
        chart(
            "From an action to its event, of those that were not cut",
            latency,
            ms,
            true,
        ),
        chart(
            "Memory of each process",
            memory(&run.memory),
            mebibytes,
            false,
        ),
    ]
}

/// What is worth showing: the storm, and a little on both sides of it.
fn window(points: &[Point]) -> (f64, f64) {
    let (first, last) = (
        points.first().map_or(-1.0, |point| point.at_s),
        points.last().map_or(1.0, |point| point.at_s),
    );
    let end = points.last().map_or(0, |point| point.caught_up);
    let over = points.iter().find(|point| point.caught_up == end);
    let over_s = over.filter(|_| end > 0).map_or(last, |point| point.at_s);
    let to_s = (2.5 * over_s).clamp(3.0, last.max(3.0));
    (first.max(-to_s / 4.0), to_s)
}

fn memory(processes: &[Memory]) -> Vec<Curve> {
    let short = |name: &str| {
        name.replace("gateway ", "gw ")
            .replace("the clients", "clients")
    };
    let curves = processes.iter().enumerate().map(|(index, process)| Curve {
        name: short(&process.name),
        class: format!("c{}", index % 7),
        points: process
            .readings
            .iter()
            .map(|(at_s, bytes)| (*at_s, *bytes as f64 / 1024.0 / 1024.0))
            .collect(),
    });
    curves.collect()
}
