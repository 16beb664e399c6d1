//! SVG and HTML written by hand: no library, no script.

use std::fmt::{self, Write};

/// The elements of a picture.
#[derive(Debug, Default)]
pub struct Svg(String);

impl Svg {
    /// Adds anything.
    pub fn push(&mut self, element: fmt::Arguments<'_>) {
        // Writing into a string cannot fail.
        writeln!(self.0, "{element}").ok();
    }

    /// Adds words, from `(x, y)` on (`start`), around it (`middle`) or up to it (`end`).
    pub fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: &str, words: &str) {
        let words = escape(words);
        self.push(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#
        ));
    }

    /// Adds a straight line.
    pub fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.push(format_args!(
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        ));
    }

    /// Adds a bar, given its corner and its size.
    pub fn bar(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        self.push(format_args!(
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height}" rx="3"/>"#
        ));
    }

    /// Adds a curve through points.
    pub fn curve(&mut self, class: &str, points: impl Iterator<Item = (f64, f64)>) {
        let mut path = String::new();
        for (x, y) in points {
            let verb = if path.is_empty() { 'M' } else { 'L' };
            write!(path, "{verb}{x:.1} {y:.1}").ok();
        }
        if !path.is_empty() {
            self.push(format_args!(r#"<path class="{class}" d="{path}"/>"#));
        }
    }

    /// The picture as a file of its own, on a ground of its own.
    pub fn document(&self, (width, height): (f64, f64), style: &str, title: &str) -> String {
        let (title, elements) = (escape(title), &self.0);
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">
<title>{title}</title><style>{style}</style><rect class="ground" width="{width}" height="{height}" rx="14"/>
{elements}</svg>
"#
        )
    }
}

impl fmt::Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that means nothing to HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// The next of 1, 2, 5, 10, 20 … that is no smaller.
pub fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power);
    let round = steps.into_iter().find(|round| *round >= step * 0.999);
    round.unwrap_or(10.0 * power)
}
