//! Opens the store that `--store` names (L3).

use std::{path::Path, time::Duration};

use anyhow::{anyhow, bail};
use outlast_broker::{
    BrokerError, SharedBroker,
    embedded::Embedded,
    redis::{Redis, Settings},
};

use crate::{cli::RoleName, config::Config};

/// How long the store may take to answer at the start (L5).
const CONNECT_WAIT: Duration = Duration::from_millis(4_500);

pub(crate) async fn open(config: &Config) -> anyhow::Result<SharedBroker> {
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
        "redis" => {
            let connect = Redis::connect(&config.store, config.layout, Settings::default());
            let store = tokio::time::timeout(CONNECT_WAIT, connect).await;
            let store = store
                .unwrap_or_else(|_| Err(BrokerError::Unavailable("no answer in time".to_owned())));
            Ok(store.map_err(|error| {
                let url = without_password(&config.store);
                let hint = match &error {
                    BrokerError::Unavailable(_) => "; is Redis running there?",
                    BrokerError::Full(_)
                    | BrokerError::Fenced { .. }
                    | BrokerError::Moved(_)
                    | BrokerError::TooLate
                    | BrokerError::Unreadable(_)
                    | BrokerError::Incompatible(_) => "",
                };
                anyhow!("cannot use --store {url}: {error}{hint}")
            })?)
        }
        "rediss" | "redis-cluster" | "redis-sentinel" => {
            bail!("--store {scheme}:// is not supported yet; use redis://HOST:PORT")
        }
        _ => bail!(
            "--store {:?} is none of embedded:PATH, memory: and redis://HOST:PORT",
            without_password(&config.store)
        ),
    }
}

/// The URL as it may be shown.
fn without_password(url: &str) -> String {
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
}
