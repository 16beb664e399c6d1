use serde::Serialize;

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Fact {
    /// For programs.
    pub(crate) key: &'static str,
    /// For people.
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: Unit,
    /// The comparison with something else.
    pub(crate) note: String,
    /// One of the few that a reader wants first.
    pub(crate) is_headline: bool,
}

/// The unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Count,
    Seconds,
    Milliseconds,
    Bytes,
    PerSecond,
    Times,
    Ratio,
    Percent,
}

impl Fact {
    fn new(key: &'static str, name: impl Into<String>, value: f64, unit: Unit) -> Fact {
        Fact {
            key,
            name: name.into(),
            value,
            unit,
            note: String::new(),
            is_headline: false,
        }
    }

    pub(crate) fn count(key: &'static str, name: &str, value: usize) -> Fact {
        Fact::new(key, name, value as f64, Unit::Count)
    }

    pub(crate) fn seconds(key: &'static str, name: &str, value: f64) -> Fact {
        Fact::new(key, name, value, Unit::Seconds)
    }

    pub(crate) fn ms(key: &'static str, name: impl Into<String>, value: f64) -> Fact {
        Fact::new(key, name, value, Unit::Milliseconds)
    }

    pub(crate) fn bytes(key: &'static str, name: impl Into<String>, value: f64) -> Fact {
        Fact::new(key, name, value, Unit::Bytes)
    }

    pub(crate) fn per_s(key: &'static str, name: &str, value: f64) -> Fact {
        Fact::new(key, name, value, Unit::PerSecond)
    }

    /// Of two figures.
    pub(crate) fn ratio(key: &'static str, name: &str, value: f64) -> Fact {
        Fact::new(key, name, value, Unit::Ratio)
    }

    pub(crate) fn times(key: &'static str, name: &str, value: f64) -> Fact {
        Fact::new(key, name, value, Unit::Times)
    }

    pub(crate) fn percent(key: &'static str, name: &str, value: f64) -> Fact {
        Fact::new(key, name, value, Unit::Percent)
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Fact {
        self.note = note.into();
        self
    }

    pub(crate) fn headline(mut self) -> Fact {
        self.is_headline = true;
        self
    }

    /// The figure as people read it.
    pub(crate) fn text(&self) -> String {
        let value = self.value;
        match self.unit {
            Unit::Count => thousands(value),
            Unit::Seconds if value < 10.0 => format!("{value:.2} s"),
            Unit::Seconds => format!("{value:.1} s"),
            Unit::Milliseconds if value < 10.0 => format!("{value:.1} ms"),
            Unit::Milliseconds => format!("{} ms", thousands(value)),
            Unit::Bytes if value < 1024.0 * 1024.0 => format!("{:.1} KiB", value / 1024.0),
            Unit::Bytes => format!("{:.0} MiB", value / 1024.0 / 1024.0),
            Unit::PerSecond => format!("{}/s", thousands(value)),
            Unit::Ratio => format!("{value:.3}"),
            Unit::Times => format!("{value:.2} ×"),
            Unit::Percent => format!("{value:.0} %"),
        }
    }
}

/// `12345` as `12,345`.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 {
        format!("-{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        let text = |value, unit| Fact::new("", "", value, unit).text();
        assert_eq!(text(1_234_567.0, Unit::Count), "1,234,567");
        assert_eq!(text(999.0, Unit::Count), "999");
        assert_eq!(text(0.416, Unit::Seconds), "0.42 s");
        assert_eq!(text(12.345, Unit::Seconds), "12.3 s");
        assert_eq!(text(3.21, Unit::Milliseconds), "3.2 ms");
        assert_eq!(text(1536.0, Unit::Bytes), "1.5 KiB");
        assert_eq!(text(0.0123, Unit::Ratio), "0.012");
        assert_eq!(thousands(-1_234.0), "-1,234");
    }
}
