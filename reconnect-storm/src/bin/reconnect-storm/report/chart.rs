//! Curves over time.

use reconnect_storm::svg::{Svg, round_step};

/// Curves over one axis of time.
#[derive(Debug)]
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) curves: Vec<Curve>,
    /// Writes a value on the axis.
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
    /// Draws it with its upper left corner at `(0, 0)`, [`WIDTH`] × [`HEIGHT`].
    pub(super) fn draw(&self) -> Svg {
        let mut svg = Svg::default();
        svg.text("title", (0.0, 16.0), "start", self.title);
        let mut x = 0.0;
        for Curve { name, class, .. } in &self.curves {
            svg.line(&format!("line {class}"), (x, 36.0), (x + 16.0, 36.0));
            svg.text("tick", (x + 22.0, 40.0), "start", name);
            x += 22.0 + CHARACTER * name.chars().count() as f64 + 16.0;
        }
        let (scale, bottom) = (self.scale(), HEIGHT - BOTTOM);
        for tick in scale.ticks() {
            let (y, label) = (scale.y(tick), (self.label)(tick));
            svg.line("grid", (LEFT, y), (WIDTH - RIGHT, y));
            svg.text("tick", (LEFT - 8.0, y + 4.0), "end", &label);
        }
        for tick in time_ticks(self.from_s, self.to_s) {
            let x = self.x(tick);
            let label = if tick == 0.0 {
                "storm".to_owned()
            } else {
                format!("{tick:+} s")
            };
            svg.text("tick", (x, HEIGHT - 8.0), "middle", &label);
            svg.line("grid", (x, bottom), (x, bottom + 4.0));
        }
        if self.from_s < 0.0 {
            svg.line("storm", (self.x(0.0), TOP), (self.x(0.0), bottom));
        }
        for curve in &self.curves {
            let inside = self.inside(&curve.points);
            let points = inside.map(|(at_s, value)| (self.x(at_s), scale.y(value)));
            svg.curve(&format!("line {}", curve.class), points);
        }
        svg
    }

    fn inside<'p>(&self, points: &'p [(f64, f64)]) -> impl Iterator<Item = (f64, f64)> + use<'p> {
        let window = self.from_s..=self.to_s;
        let points = points.iter().copied();
        points.filter(move |(at_s, _)| window.contains(at_s))
    }

    fn x(&self, at_s: f64) -> f64 {
        let share = (at_s - self.from_s) / (self.to_s - self.from_s).max(0.001);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn scale(&self) -> Scale {
        let points = self.curves.iter().map(|curve| &curve.points);
        let values = points.flat_map(|points| self.inside(points));
        let values: Vec<f64> = values.map(|(_, value)| value).collect();
        let highest = values.iter().copied().fold(0.0, f64::max);
        let is_logarithmic = self.is_logarithmic;
        let (from, to, step) = if is_logarithmic {
            let lowest = values.iter().copied().filter(|value| *value > 0.0);
            let lowest = lowest.fold(highest.max(1.0), f64::min).log10().floor();
            let highest = highest.max(1.0).log10().ceil();
            (lowest, highest.max(lowest + 1.0), 1.0)
        } else {
            let step = round_step(highest.max(1.0) / 4.0);
            (0.0, step * (highest / step).ceil().max(1.0), step)
        };
        Scale {
            from,
            to,
            step,
            is_logarithmic,
        }
    }
}

/// From the lowest to the highest tick: values, or their logarithms.
struct Scale {
    from: f64,
    to: f64,
    step: f64,
    is_logarithmic: bool,
}

impl Scale {
    fn ticks(&self) -> Vec<f64> {
        let count = ((self.to - self.from) / self.step).round() as u32;
        let ticks = (0..=count).map(|index| self.from + self.step * f64::from(index));
        if self.is_logarithmic {
            ticks.map(|tick| 10f64.powf(tick)).collect()
        } else {
            ticks.collect()
        }
    }

    fn y(&self, mut value: f64) -> f64 {
        if self.is_logarithmic {
            value = value.max(1e-9).log10();
        }
        let share = (value - self.from) / (self.to - self.from);
        HEIGHT - BOTTOM - share.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }
}

fn time_ticks(from_s: f64, to_s: f64) -> impl Iterator<Item = f64> {
    let step = round_step((to_s - from_s) / 7.0);
    let (first, last) = ((from_s / step).ceil() as i64, (to_s / step).floor() as i64);
    (first..=last).map(move |index| {
        // Tenths of a second at the finest: no 0.30000000000000004.
        (step * index as f64 * 1e3).round() / 1e3
    })
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
        let svg = chart(&[(-5.0, 1.0), (0.0, 0.0), (9.0, 2_500.0)], false)
            .draw()
            .to_string();
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
        assert!(chart(&[], false).draw().to_string().contains("storm"));
        assert!(chart(&[], true).draw().to_string().contains("storm"));
    }
}
