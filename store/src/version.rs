//! The version of what lies in topics and logs (W6).
//!
//! The first one is not written down. A later one is, in the field `v`, where what it says cannot be read, or
//! would be misread, by those before; what they may pass over needs none.

use serde::Deserialize;

/// The version that this one writes, and the newest that it reads.
const NEWEST: u32 = 1;

/// The version of something that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Version(u32);

/// It is newer than this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it has version {0}, and this one reads versions up to {NEWEST}")]
pub(crate) struct UnknownVersion(u32);

impl Default for Version {
    fn default() -> Self {
        Version(1)
    }
}

impl Version {
    /// True if it can be read here.
    pub(crate) fn check(self) -> Result<(), UnknownVersion> {
        match self.0 {
            1..=NEWEST => Ok(()),
            other => Err(UnknownVersion(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Entry, Input};

    #[test]
    fn w6_what_a_newer_version_wrote_is_not_read_as_if_it_were_of_this_one() {
        let entry = r#""pos":"1-7","at":5,"is":{"e":{"data":{}}}}"#;
        let sid = "0198c0de-0000-7000-8000-000000000000";
        let input = format!(r#""room":"chat/a","sid":"{sid}","gen":1,"do":"view"}}"#);
        for (v, readable) in [("", true), (r#""v":1,"#, true), (r#""v":2,"#, false)] {
            let entry = serde_json::from_str::<Entry>(&format!("{{{v}{entry}"));
            assert_eq!(entry.is_ok(), readable, "{entry:?}");
            let input = serde_json::from_str::<Input>(&format!("{{{v}{input}"));
            assert_eq!(input.is_ok(), readable, "{input:?}");
        }
    }
}
