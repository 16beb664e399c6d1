//! The latency as a picture that needs nothing but itself.

use std::fmt::Write;

use crate::{latency::Latency, machine::Machine};

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 366.0;
/// Where bars begin and how long the longest may be.
const LEFT: f64 = 190.0;
const LONGEST: f64 = 520.0;
const BAR: f64 = 34.0;

/// Draws ours beside its baselines, which stand behind each other as an action passes them.
pub(crate) fn draw(latency: &Latency, machine: &Machine) -> String {
    let groups = [
        Group {
            name: "p50",
            ours: latency.ours.p50_us.median,
            chain: latency.chain.p50_us.median,
            echo: latency.echo.p50_us.median,
        },
        Group {
            name: "p99",
            ours: latency.ours.p99_us.median,
            chain: latency.chain.p99_us.median,
            echo: latency.echo.p99_us.median,
        },
    ];
    let max = groups
        .iter()
        .flat_map(|group| [group.ours, group.chain + group.echo]);
    let scale = Scale::up_to(max.fold(1.0, f64::max));
    let mut svg = head(&groups);
    scale.draw(&mut svg);
    for (group, top) in groups.iter().zip([92.0, 196.0]) {
        group.draw(&mut svg, top, &scale);
    }
    foot(&mut svg, latency, machine);
    svg
}

struct Group {
    name: &'static str,
    ours: f64,
    chain: f64,
    echo: f64,
}

impl Group {
    fn draw(&self, svg: &mut String, top: f64, scale: &Scale) {
        let Group {
            name,
            ours,
            chain,
            echo,
        } = self;
        let ratio = ours / (chain + echo);
        let label = LEFT - 14.0;
        text(svg, "name", 36.0, top + BAR + 9.0, "start", name);
        let (first, second) = (top, top + BAR + 6.0);
        text(svg, "label", label, first + 22.0, "end", "outlast");
        text(svg, "label", label, second + 22.0, "end", "baselines");
        bar(svg, "ours", LEFT, first, scale.length(*ours));
        bar(svg, "chain", LEFT, second, scale.length(*chain));
        bar(
            svg,
            "echo",
            LEFT + scale.length(*chain),
            second,
            scale.length(*echo),
        );
        let ends = [(ours, first), (&(chain + echo), second)];
        for (figure, y) in ends {
            let x = LEFT + scale.length(*figure) + 10.0;
            text(
                svg,
                "figure",
                x,
                y + 22.0,
                "start",
                &format!("{figure:.0} µs"),
            );
        }
        let x = LEFT + scale.length(*ours) + 84.0;
        text(
            svg,
            "ratio",
            x,
            first + 22.0,
            "start",
            &format!("× {ratio:.2}"),
        );
        inside(
            svg,
            LEFT,
            second,
            scale.length(*chain),
            &format!("Redis {chain:.0}"),
        );
        let x = LEFT + scale.length(*chain);
        inside(
            svg,
            x,
            second,
            scale.length(*echo),
            &format!("echo {echo:.0}"),
        );
    }
}

/// Microseconds to the right.
struct Scale {
    step: f64,
    max: f64,
}

impl Scale {
    fn up_to(max: f64) -> Self {
        let magnitude = 10_f64.powf((max / 4.0).log10().floor());
        let factors = [1.0, 2.0, 2.5, 5.0, 10.0];
        let step = factors
            .map(|factor| factor * magnitude)
            .into_iter()
            .find(|step| step * 5.0 >= max);
        Scale {
            step: step.unwrap_or(max),
            max,
        }
    }

    fn length(&self, micros: f64) -> f64 {
        micros / self.max * LONGEST
    }

    fn draw(&self, svg: &mut String) {
        let mut micros = 0.0;
        while micros <= self.max {
            let x = LEFT + self.length(micros);
            write(
                svg,
                format_args!(r#"<path class="grid" d="M{x:.1} 80V286"/>"#),
            );
            text(svg, "tick", x, 304.0, "middle", &format!("{micros:.0}"));
            micros += self.step;
        }
    }
}

fn head(groups: &[Group; 2]) -> String {
    let [p50, p99] = groups.each_ref().map(|group| {
        format!(
            "{}: {:.0} µs against {:.0} µs",
            group.name,
            group.ours,
            group.chain + group.echo
        )
    });
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="t d" font-family="ui-sans-serif, system-ui, sans-serif" font-size="14">
<title id="t">From an action to its own event, beside the baselines</title>
<desc id="d">{p50}; {p99}.</desc>
<style>
.ground {{ fill: #f8fafc }}
.title {{ font-weight: 600; font-size: 17px; fill: #0f172a }}
.note, .tick {{ fill: #475569; font-size: 12px }}
.name {{ font-weight: 600; font-size: 20px; fill: #0f172a }}
.label {{ fill: #0f172a }}
.figure {{ font-weight: 600; fill: #0f172a }}
.ratio {{ font-weight: 600; fill: #4f46e5 }}
.inside {{ fill: #0f172a; font-size: 12px }}
.grid {{ stroke: #cbd5e1; stroke-width: 1 }}
.ours {{ fill: #4f46e5 }}
.chain {{ fill: #a5b4fc }}
.echo {{ fill: #cbd5e1 }}
</style>
<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="14"/>
<text class="title" x="36" y="42">From an action to its own event, in microseconds</text>
<text class="note" x="36" y="64">Baselines, with the same libraries: the bare way through Redis (XADD, XREAD, a script, PUBLISH), and an echo (grey).</text>
"##
    )
}

fn foot(svg: &mut String, latency: &Latency, machine: &Machine) {
    let Machine { cores, redis, .. } = machine;
    let Latency {
        rounds, per_round, ..
    } = latency;
    let line = format!(
        "Medians of {rounds} rounds of {per_round}, one client back to back; everything on one machine \
         with {cores} cores, Redis {redis}, appendfsync everysec."
    );
    text(svg, "note", 36.0, 342.0, "start", &line);
    svg.push_str("</svg>\n");
}

fn bar(svg: &mut String, class: &str, x: f64, y: f64, length: f64) {
    write(
        svg,
        format_args!(
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{length:.1}" height="{BAR}" rx="3"/>"#
        ),
    );
}

/// In the middle of a bar, if it is long enough.
fn inside(svg: &mut String, x: f64, y: f64, length: f64, what: &str) {
    const PER_CHARACTER: f64 = 7.0;
    if length > what.chars().count() as f64 * PER_CHARACTER {
        text(svg, "inside", x + length / 2.0, y + 21.0, "middle", what);
    }
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, anchor: &str, what: &str) {
    write(
        svg,
        format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{what}</text>"#
        ),
    );
}

fn write(svg: &mut String, element: std::fmt::Arguments<'_>) {
    // Writing into a string cannot fail.
    writeln!(svg, "{element}").ok();
}
