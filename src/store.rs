//! Opens the store that `--store` names (L3).

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use outlast_store::{
    SharedStore, StoreError,
    embedded::Embedded,
    redis::{Access, Certificate, Prefix, Redis, RedisSettings},
};

use crate::{
    cli::{Flags, RoleName},
    config::Config,
};

/// The longest time that the store may take to answer at the start (L5), beyond what it is waited for (L12).
const CONNECT_WAIT: Duration = Duration::from_millis(4_500);

pub(crate) async fn open(config: &Config) -> anyhow::Result<SharedStore> {
    let (scheme, rest) = config.store.split_once(':').unwrap_or((&config.store, ""));
    match scheme {
        "embedded" | "memory" if config.role != RoleName::All => bail!(
            "--store {scheme}: serves `outlast all` alone, since it lives in one process; the role {} \
             needs one that processes can share, for example --store redis://127.0.0.1:6379",
            config.role.as_str()
        ),
        "embedded" if rest.is_empty() => {
            bail!("--store embedded: lacks its folder; for example --store embedded:./outlast-data")
        }
        "embedded" => Ok(Embedded::open(Path::new(rest), config.layout)?),
        "memory" => Ok(Embedded::memory(config.layout)),
        "redis" | "rediss" | "redis-sentinel" | "rediss-sentinel" | "redis-cluster"
        | "rediss-cluster" => {
            let start_wait_ms = config.flags.store_wait_ms.unwrap_or(0);
            let settings = RedisSettings {
                access: access(&config.flags)?,
                prefix: prefix(&config.flags)?,
                start_wait_ms,
                ..RedisSettings::default()
            };
            let connect = Redis::connect(&config.store, config.layout, settings);
            let wait = CONNECT_WAIT + Duration::from_millis(start_wait_ms);
            let store = tokio::time::timeout(wait, connect).await;
            let store = store
                .unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned())));
            Ok(store.map_err(|error| {
                let url = without_password(&config.store);
                let hint = match &error {
                    StoreError::Unavailable(_) => "; is Redis running there?",
                    StoreError::Full(_)
                    | StoreError::Fenced { .. }
                    | StoreError::Moved(_)
                    | StoreError::TooLate
                    | StoreError::Unreadable(_)
                    | StoreError::Incompatible(_) => "",
                };
                anyhow!("cannot use --store {url}: {error}{hint}")
            })?)
        }
        _ => bail!(
            "--store {:?} is none of embedded:PATH, memory:, redis://HOST:PORT, \
             redis-sentinel://A,B,C/NAME and redis-cluster://A,B,C",
            without_password(&config.store)
        ),
    }
}

/// Returns the prefix of every key and channel.
fn prefix(flags: &Flags) -> anyhow::Result<Prefix> {
    let Some(text) = &flags.store_prefix else {
        return Ok(Prefix::default());
    };
    text.parse().map_err(|error| {
        anyhow!("--store-prefix {text:?}: {error}; for example --store-prefix staging")
    })
}

/// Returns our name at Redis and those whom we trust, from the files that the flags name.
fn access(flags: &Flags) -> anyhow::Result<Access> {
    let read = |flag: &str, path: &Option<PathBuf>| {
        let Some(path) = path else { return Ok(None) };
        let bytes = std::fs::read(path);
        bytes
            .map(Some)
            .with_context(|| format!("cannot read {flag} {}", path.display()))
    };
    let password = |flag: &str, path: &Option<PathBuf>| {
        let Some(bytes) = read(flag, path)? else {
            return Ok(None);
        };
        let text = String::from_utf8(bytes).ok();
        // Editors and `echo` end a file with a line break that is no part of the password.
        let text = text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        match text.filter(|text| !text.is_empty()) {
            Some(text) => Ok(Some(text)),
            None => bail!("{flag} holds no password"),
        }
    };
    let certificate = match (&flags.store_cert_file, &flags.store_key_file) {
        (Some(_), None) | (None, Some(_)) => {
            bail!("--store-cert-file and --store-key-file are given together or not at all")
        }
        (chain, key) => read("--store-cert-file", chain)?
            .zip(read("--store-key-file", key)?)
            .map(|(chain_pem, key_pem)| Certificate { chain_pem, key_pem }),
    };
    Ok(Access {
        user: flags.store_user.clone(),
        password: password("--store-password-file", &flags.store_password_file)?,
        sentinel_user: flags.store_sentinel_user.clone(),
        sentinel_password: password(
            "--store-sentinel-password-file",
            &flags.store_sentinel_password_file,
        )?,
        ca_pem: read("--store-ca-file", &flags.store_ca_file)?,
        certificate,
    })
}

/// The URL as it may be shown.
pub(crate) fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h3_a_password_is_not_shown() {
        assert_eq!(
            without_password("redis://u:p@ss@host:1/0"),
            "redis://…@host:1/0"
        );
        assert_eq!(without_password("redis://host:1"), "redis://host:1");
    }

    #[test]
    fn l7_a_prefix_that_is_none_is_named() {
        let flags = |prefix: &str| Flags {
            store_prefix: Some(prefix.into()),
            ..Flags::default()
        };
        assert_eq!(prefix(&flags("staging")).unwrap().as_str(), "staging");
        assert_eq!(prefix(&Flags::default()).unwrap().as_str(), "ol");
        let error = prefix(&flags("{a}")).unwrap_err().to_string();
        assert!(error.contains("--store-prefix"), "{error}");
    }

    #[test]
    fn h3_secrets_come_from_files_and_wrong_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let flags = Flags {
            store_user: Some("outlast".into()),
            store_password_file: file("password", "secret \r\n"),
            store_cert_file: file("cert", "chain"),
            store_key_file: file("key", "key"),
            ..Flags::default()
        };
        let access = super::access(&flags).unwrap();
        assert_eq!(access.user.as_deref(), Some("outlast"));
        assert_eq!(access.password.as_deref(), Some("secret "));
        assert_eq!(access.certificate.unwrap().key_pem, b"key");

        let empty = Flags {
            store_password_file: file("empty", "\n"),
            ..Flags::default()
        };
        let half = Flags {
            store_key_file: file("key", "key"),
            ..Flags::default()
        };
        let missing = Flags {
            store_ca_file: Some(folder.path().join("none")),
            ..Flags::default()
        };
        for (flags, named) in [
            (empty, "--store-password-file"),
            (half, "--store-cert-file"),
            (missing, "--store-ca-file"),
        ] {
            let error = format!("{:#}", super::access(&flags).unwrap_err());
            assert!(error.contains(named), "{error}");
        }
    }
}
