//! The prefix that tells the deployments apart that share a Redis.

use std::{fmt, str::FromStr};

/// The beginning of every key and channel: two deployments with different ones may share a Redis or a Cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prefix(String);

const BYTES_MAX: usize = 32;

impl Prefix {
    /// The prefix, without the colon that follows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Prefix("ol".into())
    }
}

/// A text is no [`Prefix`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a prefix is 1 to 32 of a-z, A-Z, 0-9, '.', '_' and '-'")]
pub struct NotAPrefix;

impl FromStr for Prefix {
    type Err = NotAPrefix;

    /// Nothing that means something within a key (`:`, `{`, `/`) or an ACL's pattern (`*`, `?`, `[`), so that no
    /// deployment's keys begin as another's do. The colon that follows it may be written.
    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        let prefix = text.strip_suffix(':').unwrap_or(text);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        match (1..=BYTES_MAX).contains(&prefix.len()) && prefix.bytes().all(plain) {
            true => Ok(Prefix(prefix.into())),
            false => Err(NotAPrefix),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l7_a_prefix_says_nothing_else_to_redis() {
        for prefix in ["ol", "staging", "team-1.live_2", &"x".repeat(32)] {
            let read: Prefix = prefix.parse().unwrap();
            assert_eq!(read.as_str(), prefix);
            assert_eq!(format!("{prefix}:").parse(), Ok(read));
        }
        let long = "x".repeat(33);
        for other in [
            "", ":", "a:b", "{a}", "a/3", "a*", "a?", "[a]", "a b", "é", &long,
        ] {
            assert_eq!(other.parse::<Prefix>(), Err(NotAPrefix), "{other}");
        }
    }
}
