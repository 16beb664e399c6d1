//! The report as one page that needs nothing but itself, and as a picture.

use reconnect_storm::svg::{Svg, escape};

use super::{
    Fact, Memory, Point, Run,
    chart::{self, Chart, Curve},
    thousands,
};

const STYLE: &str = include_str!("page.css");
const PICTURE_STYLE: &str = include_str!("picture.css");

/// A page for people.
pub(crate) fn page(runs: &[Run], command: &str) -> String {
    let body: String = runs.iter().map(section).collect();
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

fn section(run: &Run) -> String {
    let Run {
        scenario,
        what,
        machine,
        verdict,
        ..
    } = run;
    let headlines = run.facts.iter().filter(|fact| fact.is_headline);
    let tile = |fact: &Fact| {
        let [name, value] = [&fact.name, &fact.text()].map(|text| escape(text));
        format!("<div><dt>{name}</dt><dd>{value}</dd></div>")
    };
    let row = |fact: &Fact| {
        let [name, value, note] = [&fact.name, &fact.text(), &fact.note].map(|text| escape(text));
        format!(r#"<tr><th>{name}</th><td class="value">{value}</td><td>{note}</td></tr>"#)
    };
    let chart = |chart: Chart<'_>| {
        let (width, height) = (chart::WIDTH, chart::HEIGHT);
        let (title, drawn) = (escape(chart.title), chart.draw());
        format!(
            r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label="{title}">{drawn}</svg>"#
        )
    };
    let paragraph = |class: &str, text: &str| format!(r#"<p class="{class}">{}</p>"#, escape(text));
    let paragraphs = |class: &str, texts: &[String]| -> String {
        texts.iter().map(|text| paragraph(class, text)).collect()
    };
    let examples: Vec<String> = verdict.examples().collect();
    let class = if run.is_clean() { "good" } else { "bad" };
    let figures = format!(
        "{}; {machine}; jitter {}, seed {}.",
        verdict.summary(),
        run.jitter,
        run.seed
    );
    [
        &format!(r#"<section id="{scenario}"><h2>{scenario}</h2>"#),
        &paragraph("what", what),
        r#"<dl class="tiles">"#,
        &headlines.map(tile).collect::<String>(),
        &format!(
            r#"<div><dt>found wrong</dt><dd class="{class}">{}</dd></div></dl>"#,
            verdict.total() + run.failures.len()
        ),
        &paragraphs("bad", &run.failures),
        &paragraphs("bad", &examples),
        r#"<div class="charts">"#,
        &charts(run).into_iter().map(chart).collect::<String>(),
        "</div><table>",
        &run.facts.iter().map(row).collect::<String>(),
        "</table>",
        &paragraphs("beware", &run.warnings),
        &paragraph("small", &figures),
        &counters(run),
        "</section>\n",
    ]
    .concat()
}

fn counters(run: &Run) -> String {
    if run.counters.is_empty() {
        return String::new();
    }
    let rows = run.counters.iter().map(|(series, value)| {
        let (series, value) = (escape(series), thousands(*value));
        format!(r#"<tr><th class="series">{series}</th><td class="value">{value}</td></tr>"#)
    });
    format!(
        "<details><summary>What the gateways counted</summary><table>{}</table></details>",
        rows.collect::<String>()
    )
}

/// The run as a picture for a README.
pub(crate) fn picture(run: &Run) -> String {
    const MARGIN: f64 = 28.0;
    const HEAD: f64 = 92.0;
    let charts = charts(run);
    let width = 2.0 * chart::WIDTH + 3.0 * MARGIN;
    let rows = charts.len().div_ceil(2) as f64;
    let height = HEAD + rows * (chart::HEIGHT + MARGIN);
    let mut svg = Svg::default();
    svg.text("head", (MARGIN, 40.0), "start", &run.what);
    let headlines = run.facts.iter().filter(|fact| fact.is_headline);
    let headlines = headlines.map(|fact| format!("{} {} · ", fact.name, fact.text()));
    let (headlines, wrong) = (headlines.collect::<String>(), run.verdict.total());
    let line = format!("{headlines}lost, doubled or out of order: {wrong}");
    svg.text("tick", (MARGIN, 64.0), "start", &line);
    for (index, chart) in charts.iter().enumerate() {
        let x = MARGIN + (index % 2) as f64 * (chart::WIDTH + MARGIN);
        let y = HEAD + (index / 2) as f64 * (chart::HEIGHT + MARGIN);
        let chart = chart.draw();
        svg.push(format_args!(
            r#"<g transform="translate({x} {y})">{chart}</g>"#
        ));
    }
    svg.document((width, height), PICTURE_STYLE, &run.what)
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
    let back = |point: &Point| Some(point.back as f64);
    let attaches_per_s = |point: &Point| Some(point.attaches_per_s);
    let mut clients = vec![
        curve("without a socket", "c1", points, |point| {
            Some(point.out as f64)
        }),
        curve("back", "c2", points, back),
        curve("caught up", "c0", points, |point| {
            Some(point.caught_up as f64)
        }),
    ];
    if points.iter().any(|point| point.moved > 0) {
        let moved = |point: &Point| Some(point.moved as f64);
        clients.push(curve("moved", "c3", points, moved));
    }
    let mut attaches = vec![curve("attaches", "c0", points, attaches_per_s)];
    let bare = &run.bare_curves;
    if !bare.is_empty() {
        clients.push(curve("bare: back", "bare", bare, back));
        attaches.push(curve("bare: upgrades", "bare", bare, attaches_per_s));
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
    let memory = memory(&run.memory);
    let ms = |value: f64| format!("{value} ms");
    let mebibytes = |value: f64| format!("{value:.0} MiB");
    vec![
        chart("Clients out, back and caught up", clients, thousands, false),
        chart("Attaches a second", attaches, thousands, false),
        chart(LATENCY, latency, ms, true),
        chart("Memory of each process", memory, mebibytes, false),
    ]
}

const LATENCY: &str = "From an action to its event, of those that were not cut";

/// The time worth showing: the storm, and a little on both sides of it.
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
