//! The latency as a picture that needs nothing but itself.

use reconnect_storm::svg::{Svg, round_step};

use crate::{latency::Latency, machine::Machine};

const SIZE: (f64, f64) = (880.0, 366.0);
/// Where bars begin and how long the longest may be.
const LEFT: f64 = 190.0;
const LONGEST: f64 = 520.0;
const BAR: f64 = 34.0;

const TITLE: &str = "From an action to its own event, in microseconds";
const NOTE: &str = "Baselines, with the same libraries: the bare way through Redis (XADD, XREAD, a script, PUBLISH), and an echo (grey).";
const STYLE: &str = "
text { font-family: ui-sans-serif, system-ui, sans-serif; font-size: 14px }
.ground { fill: #f8fafc }
.title { font-weight: 600; font-size: 17px; fill: #0f172a }
.note, .tick { fill: #475569; font-size: 12px }
.name { font-weight: 600; font-size: 20px; fill: #0f172a }
.label { fill: #0f172a }
.figure { font-weight: 600; fill: #0f172a }
.ratio { font-weight: 600; fill: #4f46e5 }
.inside { fill: #0f172a; font-size: 12px }
.grid { stroke: #cbd5e1; stroke-width: 1 }
.ours { fill: #4f46e5 }
.chain { fill: #a5b4fc }
.echo { fill: #cbd5e1 }
";

/// Draws ours beside its baselines, which stand after each other as an action passes them.
pub(crate) fn draw(latency: &Latency, machine: &Machine) -> String {
    let Latency {
        ours, chain, echo, ..
    } = latency;
    let groups = [
        Group {
            name: "p50",
            ours: ours.p50_us.median,
            chain: chain.p50_us.median,
            echo: echo.p50_us.median,
        },
        Group {
            name: "p99",
            ours: ours.p99_us.median,
            chain: chain.p99_us.median,
            echo: echo.p99_us.median,
        },
    ];
    let longest = groups
        .iter()
        .flat_map(|group| [group.ours, group.baselines()]);
    let max = longest.fold(1.0, f64::max);
    let mut svg = Svg::default();
    svg.text("title", (36.0, 42.0), "start", TITLE);
    svg.text("note", (36.0, 64.0), "start", NOTE);
    let (step, mut micros) = (round_step(max / 5.0), 0.0);
    while micros <= max {
        let x = LEFT + micros / max * LONGEST;
        svg.line("grid", (x, 80.0), (x, 286.0));
        svg.text("tick", (x, 304.0), "middle", &format!("{micros:.0}"));
        micros += step;
    }
    for (group, top) in groups.iter().zip([92.0, 196.0]) {
        group.draw(&mut svg, top, LONGEST / max);
    }
    let Machine { cores, redis, .. } = machine;
    let (rounds, per_round) = (latency.rounds, latency.per_round);
    let line = format!(
        "Medians of {rounds} rounds of {per_round}, one client back to back; everything on one machine \
         with {cores} cores, Redis {redis}, appendfsync everysec."
    );
    svg.text("note", (36.0, 342.0), "start", &line);
    svg.document(SIZE, STYLE, TITLE)
}

struct Group {
    name: &'static str,
    ours: f64,
    chain: f64,
    echo: f64,
}

impl Group {
    fn baselines(&self) -> f64 {
        self.chain + self.echo
    }

    /// `scale`: the length of a microsecond.
    fn draw(&self, svg: &mut Svg, top: f64, scale: f64) {
        let (first, second) = (top, top + BAR + 6.0);
        svg.text("name", (36.0, top + BAR + 9.0), "start", self.name);
        for (label, y, micros) in [
            ("outlast", first, self.ours),
            ("baselines", second, self.baselines()),
        ] {
            let end = LEFT + scale * micros;
            svg.text("label", (LEFT - 14.0, y + 22.0), "end", label);
            let figure = format!("{micros:.0} µs");
            svg.text("figure", (end + 10.0, y + 22.0), "start", &figure);
        }
        let [ours, chain, echo] = [self.ours, self.chain, self.echo].map(|micros| scale * micros);
        svg.bar("ours", (LEFT, first), (ours, BAR));
        let ratio = format!("× {:.2}", self.ours / self.baselines());
        svg.text("ratio", (LEFT + ours + 84.0, first + 22.0), "start", &ratio);
        let redis = format!("Redis {:.0}", self.chain);
        labelled(svg, "chain", (LEFT, second), chain, &redis);
        let echoed = format!("echo {:.0}", self.echo);
        labelled(svg, "echo", (LEFT + chain, second), echo, &echoed);
    }
}

/// A bar with words in its middle, if it is long enough.
fn labelled(svg: &mut Svg, class: &str, (x, y): (f64, f64), length: f64, words: &str) {
    const PER_CHARACTER: f64 = 7.0;
    svg.bar(class, (x, y), (length, BAR));
    if length > words.chars().count() as f64 * PER_CHARACTER {
        svg.text("inside", (x + length / 2.0, y + 21.0), "middle", words);
    }
}
