//! Loads the keys that clients' tokens are checked with (H5).

use anyhow::{Context, bail};
use outlast_gateway::{Auth, Keys};

use crate::config::Config;

/// How clients are known, from the files that the flags name.
///
/// # Errors
/// When a file cannot be used, and when there is none and anonymous clients are not allowed either.
pub(crate) fn load(config: &Config) -> anyhow::Result<Auth> {
    let mut all: Option<Keys> = None;
    for (flag, path) in config.flags.token_files() {
        let bytes = std::fs::read(path)
            .with_context(|| format!("cannot read {flag} {}", path.display()))?;
        let keys = match flag {
            "--token-secret-file" => Keys::secret(&bytes),
            "--token-key-file" => Keys::pem(&bytes),
            _ => Keys::jwks(&bytes),
        };
        let keys = keys.with_context(|| format!("cannot use {flag} {}", path.display()))?;
        all = Some(match all {
            Some(before) => before.and(keys),
            None => keys,
        });
    }
    match all {
        Some(keys) => Ok(Auth::tokens(keys, config.allow_anonymous)),
        None if config.allow_anonymous => Ok(Auth::anonymous()),
        None => bail!(
            "nobody could connect: give a key for tokens (--token-secret-file, --token-key-file or \
             --token-jwks-file), or let everybody in with --allow-anonymous"
        ),
    }
}
