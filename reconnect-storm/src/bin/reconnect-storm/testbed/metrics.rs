use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The counts of a process, by series: `name{label="value"}`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

impl Metrics {
    pub(super) async fn fetch(address: &str) -> anyhow::Result<Metrics> {
        let fetching = async {
            let mut tcp = TcpStream::connect(address).await?;
            let request = "GET /metrics HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n";
            tcp.write_all(request.as_bytes()).await?;
            let mut text = String::new();
            tcp.read_to_string(&mut text).await?;
            anyhow::Ok(Metrics::parse(&text))
        };
        timeout(ANSWERS_WITHIN, fetching)
            .await
            .context("no metrics in time")?
    }

    /// Reads the text format of Prometheus.
    fn parse(text: &str) -> Metrics {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Metrics(pairs.collect())
    }

    /// The counts of several processes between two moments, without those that have gone since.
    pub(crate) fn grown(before: &[Option<Metrics>], after: &[Option<Metrics>]) -> Metrics {
        let mut all = Metrics::default();
        for (before, after) in before.iter().zip(after) {
            if let (Some(before), Some(after)) = (before, after) {
                all.add(&after.since(before));
            }
        }
        all
    }

    fn add(&mut self, other: &Metrics) {
        for (series, value) in &other.0 {
            *self.0.entry(series.clone()).or_default() += value;
        }
    }

    /// The counts since an earlier moment.
    fn since(&self, before: &Metrics) -> Metrics {
        let grown = self.0.iter().map(|(series, value)| {
            let was = before.0.get(series).copied().unwrap_or(0.0);
            (series.clone(), value - was)
        });
        Metrics(grown.collect())
    }

    /// The sum over all series of a name; 0 where there is none.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let of_name = self
            .0
            .iter()
            .filter(|(series, _)| series.split('{').next() == Some(name));
        // From a zero without a sign: the sum of nothing has one.
        of_name.fold(0.0, |sum, (_, value)| sum + value)
    }

    /// The series of outlast that changed.
    pub(crate) fn changed(&self) -> BTreeMap<String, f64> {
        let own = self.0.iter().filter(|(series, value)| {
            series.starts_with("outlast_") && !series.contains("quantile=") && **value != 0.0
        });
        own.map(|(series, value)| (series.clone(), *value))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_series_of_a_name() {
        let before =
            Metrics::parse("HTTP/1.1 200 OK\r\n\r\n# HELP a_total A\na_total{by=\"x\"} 1\n");
        let after = Metrics::parse("a_total{by=\"x\"} 3\na_total{by=\"y z\"} 2\na_total_more 7\n");
        assert_eq!(after.since(&before).sum("a_total"), 4.0);
        assert_eq!(after.sum("a_total_more"), 7.0);
        assert_eq!(after.sum("b"), 0.0);
        let (before, after) = (Some(before), Some(after));
        let grown = Metrics::grown(&[before.clone(), before], &[after, None]);
        assert_eq!(grown.sum("a_total"), 4.0);
    }
}
