//! Loads the keys that clients' tokens are checked with (H5).

use anyhow::{Context, bail};
use outlast_gateway::{Auth, Keys};

use crate::config::Config;

/// The keys in the files that the flags name, if they name any.
///
/// # Errors
/// When a file cannot be used.
pub(crate) fn keys(config: &Config) -> anyhow::Result<Option<Keys>> {
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
    Ok(all)
}

/// Returns the means by which clients are known.
///
/// # Errors
/// When there is no key, and anonymous clients are not allowed either.
pub(crate) fn auth(keys: Option<Keys>, config: &Config) -> anyhow::Result<Auth> {
    match keys {
        Some(keys) => Ok(Auth::tokens(keys, config.allow_anonymous)),
        None if config.is_tried_out() && config.allow_anonymous => Ok(Auth::at_home()),
        None if config.allow_anonymous => Ok(Auth::anonymous()),
        None => bail!(
            "nobody could connect: give a key for tokens (--token-secret-file, --token-key-file or \
             --token-jwks-file), or let everybody in with --allow-anonymous"
        ),
    }
}
