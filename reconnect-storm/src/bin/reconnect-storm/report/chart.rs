//! Curves as inline SVG, drawn by hand: no library, no script.

use std::fmt::Write;

/// Curves over one axis of time.
#[derive(Debug)]
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) curves: Vec<Curve>,
    /// How a value reads on the axis.
    pub(super) label: fn(f64) -> String,
    /// Values span powers of ten.
    pub(super) is_logarithmic: bool,
    /// Where the storm begins and ends, in seconds.
    pub(super) from_s: f64,
    pub(super) to_s: f64,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Curve {
    pub(super) name: String,
    /// A CSS class: `c0` to `c6`, or `bare`.
    pub(super) class: String,
    pub(super) points: Vec<(f64, f64)>,
}

pub(super) const WIDTH: f64 = 640.0;
pub(super) const HEIGHT: f64 = 286.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 58.0;
const BOTTOM: f64 = 30.0;
/// About how wide a character of the legend is.
const CHARACTER: f64 = 7.6;

impl Chart<'_> {
    /// A `<g>` of [`WIDTH`] × [`HEIGHT`].
    pub(super) fn draw(&self) -> String {
        let mut svg = String::from("<g>");
        text(&mut svg, "title", 0.0, 16.0, "start", self.title);
        self.legend(&mut svg);
        let scale = self.scale();
        for tick in scale.ticks() {
            let y = scale.y(tick);
            line(&mut svg, "grid", (LEFT, y), (WIDTH - RIGHT, y));
            text(
                &mut svg,
                "tick",
                LEFT - 8.0,
                y + 4.0,
                "end",
                &(self.label)(tick),
            );
        }
        for tick in time_ticks(self.from_s, self.to_s) {
            let x = self.x(tick);
            let label = if tick == 0.0 {
                "storm".to_owned()
            } else {
                format!("{tick:+} s")
            };
            text(&mut svg, "tick", x, HEIGHT - 8.0, "middle", &label);
            line(
                &mut svg,
                "grid",
                (x, HEIGHT - BOTTOM),
                (x, HEIGHT - BOTTOM + 4.0),
            );
        }
        if self.from_s < 0.0 {
            let x = self.x(0.0);
            line(&mut svg, "storm", (x, TOP), (x, HEIGHT - BOTTOM));
        }
        for curve in &self.curves {
            self.curve(&mut svg, curve, &scale);
        }
        svg.push_str("</g>");
        svg
    }

    fn legend(&self, svg: &mut String) {
        let mut x = 0.0;
        for Curve { name, class, .. } in &self.curves {
            line(svg, &format!("line {class}"), (x, 36.0), (x + 16.0, 36.0));
            text(svg, "tick", x + 22.0, 40.0, "start", name);
            x += 22.0 + CHARACTER * name.chars().count() as f64 + 16.0;
        }
    }

    fn curve(&self, svg: &mut String, curve: &Curve, scale: &Scale) {
        let inside = |(at_s, _): &&(f64, f64)| (self.from_s..=self.to_s).contains(at_s);
        let mut path = String::new();
        for (at_s, value) in curve.points.iter().filter(inside) {
            let verb = if path.is_empty() { 'M' } else { 'L' };
            // Writing into a string cannot fail.
            write!(path, "{verb}{:.1} {:.1}", self.x(*at_s), scale.y(*value)).ok();
        }
        if !path.is_empty() {
            let class = &curve.class;
            write!(svg, r#"<path class="line {class}" d="{path}"/>"#).ok();
        }
    }

    fn x(&self, at_s: f64) -> f64 {
        let share = (at_s - self.from_s) / (self.to_s - self.from_s).max(0.001);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn scale(&self) -> Scale {
        let values = self.curves.iter().flat_map(|curve| &curve.points);
        let values = values.filter(|(at_s, _)| (self.from_s..=self.to_s).contains(at_s));
        let values: Vec<f64> = values.map(|(_, value)| *value).collect();
        let highest = values.iter().copied().fold(0.0, f64::max);
        if self.is_logarithmic {
            let lowest = values.iter().copied().filter(|value| *value > 0.0);
            let lowest = lowest.fold(f64::INFINITY, f64::min).min(highest.max(1.0));
            return Scale::Powers {
                from: lowest.log10().floor(),
                to: highest
                    .max(1.0)
                    .log10()
                    .ceil()
                    .max(lowest.log10().floor() + 1.0),
            };
        }
        let step = round_step(highest.max(1.0) / 4.0);
        Scale::Steps {
            step,
            to: step * (highest / step).ceil().max(1.0),
        }
    }
}

enum Scale {
    Steps { step: f64, to: f64 },
    Powers { from: f64, to: f64 },
}

impl Scale {
    fn ticks(&self) -> Vec<f64> {
        match *self {
            Scale::Steps { step, to } => {
                let count = (to / step).round() as u32;
                (0..=count).map(|index| step * f64::from(index)).collect()
            }
            Scale::Powers { from, to } => {
                let count = (to - from).round() as u32;
                (0..=count)
                    .map(|index| 10f64.powf(from + f64::from(index)))
                    .collect()
            }
        }
    }

    fn y(&self, value: f64) -> f64 {
        let share = match *self {
            Scale::Steps { to, .. } => value / to,
            Scale::Powers { from, to } => (value.max(1e-9).log10() - from) / (to - from),
        };
        let height = HEIGHT - TOP - BOTTOM;
        HEIGHT - BOTTOM - share.clamp(0.0, 1.0) * height
    }
}

/// The next of 1, 2, 5, 10, 20 … that is no smaller.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power);
    steps
        .into_iter()
        .find(|round| *round >= step * 0.999)
        .unwrap_or(10.0 * power)
}

fn time_ticks(from_s: f64, to_s: f64) -> impl Iterator<Item = f64> {
    let step = round_step((to_s - from_s) / 7.0);
    let (first, last) = ((from_s / step).ceil() as i64, (to_s / step).floor() as i64);
    (first..=last).map(move |index| {
        // Tenths of a second at the finest: no 0.30000000000000004.
        (step * index as f64 * 1e3).round() / 1e3
    })
}

pub(super) fn text(svg: &mut String, class: &str, x: f64, y: f64, anchor: &str, what: &str) {
    let what = escape(what);
    write!(
        svg,
        r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{what}</text>"#
    )
    .ok();
}

fn line(svg: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    write!(
        svg,
        r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
    )
    .ok();
}

/// A text that means nothing to HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(f64, f64)], is_logarithmic: bool) -> Chart<'static> {
        Chart {
            title: "a < b",
            curves: vec![Curve {
                name: "one".into(),
                class: "c0".into(),
                points: points.to_vec(),
            }],
            label: |value| format!("{value}"),
            is_logarithmic,
            from_s: -1.0,
            to_s: 9.0,
        }
    }

    #[test]
    fn a_curve_stays_inside_its_axes() {
        let svg = chart(&[(-5.0, 1.0), (0.0, 0.0), (9.0, 2_500.0)], false).draw();
        assert!(
            svg.contains(&format!(
                r#"d="M118.4 {:.1}L{:.1} "#,
                HEIGHT - BOTTOM,
                WIDTH - RIGHT
            )),
            "{svg}"
        );
        assert!(svg.contains(">3000<") && svg.contains("a &lt; b"), "{svg}");
    }

    #[test]
    fn powers_of_ten_are_far_apart_alike() {
        let chart = chart(&[(0.0, 0.5), (1.0, 80.0)], true);
        let scale = chart.scale();
        assert_eq!(scale.ticks(), [0.1, 1.0, 10.0, 100.0]);
        let gaps: Vec<f64> = scale
            .ticks()
            .windows(2)
            .map(|pair| scale.y(pair[0]) - scale.y(pair[1]))
            .collect();
        assert!(
            gaps.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 1e-6),
            "{gaps:?}"
        );
    }

    #[test]
    fn an_empty_chart_is_still_one() {
        assert!(chart(&[], false).draw().contains("storm"));
        assert!(chart(&[], true).draw().contains("storm"));
    }
}
