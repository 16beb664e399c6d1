//! The parts of a store's URL.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::StoreError;

/// The forms that a URL may have, for people.
const FORMS: &str = "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], \
                     redis-sentinel://HOST[:PORT],…/NAME[/DATABASE] or redis-cluster://HOST[:PORT],…; \
                     with rediss in place of redis for TLS";

/// A store's URL, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::redis) struct StoreUrl {
    pub(in crate::redis) tls: bool,
    pub(in crate::redis) user: Option<String>,
    pub(in crate::redis) password: Option<String>,
    pub(in crate::redis) database: i64,
    pub(in crate::redis) site: Site,
}

/// The way in which a store is spread, and where to ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redis) enum Site {
    /// One Redis, for better or worse.
    Single(Address),
    /// A master that sentinels watch, with replicas to take its place.
    Sentinel {
        sentinels: Vec<Address>,
        name: String,
    },
    /// Many masters, each with a part of the slots.
    Cluster { seeds: Vec<Address> },
}

/// Host and port: what may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::redis) struct Address {
    pub(in crate::redis) host: String,
    pub(in crate::redis) port: u16,
}

impl StoreUrl {
    /// Reads a URL. It may hold a password, so no error shows it (H3).
    pub(in crate::redis) fn parse(text: &str) -> Result<Self, StoreError> {
        let wrong = |why: &str| {
            StoreError::Unavailable(format!("the store's URL {why}; it is of the form {FORMS}"))
        };
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong("has no scheme"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        let (user, password) = match login {
            Some(login) => read_login(login).ok_or_else(|| wrong("has an unreadable login"))?,
            None => (None, None),
        };
        let (tls, kind) = match scheme.strip_prefix("rediss") {
            Some(kind) => (true, kind),
            None => (
                false,
                scheme
                    .strip_prefix("redis")
                    .ok_or_else(|| wrong("has another scheme"))?,
            ),
        };
        let (site, database) = read_site(kind, hosts, path).map_err(wrong)?;
        Ok(StoreUrl {
            tls,
            user,
            password,
            database,
            site,
        })
    }
}

/// Reads where the Redis is and which database is meant; an error says what is wrong about the URL.
fn read_site(kind: &str, hosts: &str, path: &str) -> Result<(Site, i64), &'static str> {
    let addresses = |port| {
        let addresses = hosts.split(',').map(|host| Address::parse(host, port));
        let addresses: Option<Vec<_>> = addresses.collect();
        addresses.ok_or("has a host or port that is none")
    };
    let database = |path: &str| match path {
        "" => Ok(0),
        number => number
            .parse()
            .map_err(|_| "has a database that is no number"),
    };
    match kind {
        "" => match &addresses(REDIS_PORT)?[..] {
            [only] => Ok((Site::Single(only.clone()), database(path)?)),
            _ => Err("names several hosts for one Redis"),
        },
        "-sentinel" => {
            let (name, number) = path.split_once('/').unwrap_or((path, ""));
            if name.is_empty() {
                return Err("does not name the master that the sentinels watch");
            }
            let (sentinels, name) = (addresses(SENTINEL_PORT)?, name.into());
            Ok((Site::Sentinel { sentinels, name }, database(number)?))
        }
        "-cluster" if !matches!(path, "" | "0") => {
            Err("names a database, and a Cluster has but one")
        }
        "-cluster" => {
            let seeds = addresses(REDIS_PORT)?;
            Ok((Site::Cluster { seeds }, 0))
        }
        _ => Err("has another scheme"),
    }
}

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

type Login = (Option<String>, Option<String>);

fn read_login(login: &str) -> Option<Login> {
    let decode = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8().ok()?.into_owned();
        Some((!decoded.is_empty()).then_some(decoded))
    };
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    Some((decode(user)?, decode(password)?))
}

impl Address {
    /// Reads `HOST[:PORT]`; a host that has colons itself stands in brackets.
    pub(in crate::redis) fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (
                    host,
                    port.strip_prefix(':').or(port.is_empty().then_some(port))?,
                )
            }
            None => text.split_once(':').unwrap_or((text, "")),
        };
        let port = match port {
            "" => default_port,
            port => port.parse().ok()?,
        };
        let plain = |c: char| !c.is_whitespace() && !matches!(c, '/' | '?' | '#' | '[' | ']');
        if host.is_empty() || !host.chars().all(plain) {
            return None;
        }
        let host = host.into();
        Some(Address { host, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { host, port } = self;
        match host.contains(':') {
            true => write!(f, "[{host}]:{port}"),
            false => write!(f, "{host}:{port}"),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.site.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> Address {
        let host = host.into();
        Address { host, port }
    }

    #[test]
    fn l3_every_form_is_read() {
        let plain = StoreUrl::parse("redis://localhost").unwrap();
        assert_eq!(plain.site, Site::Single(at("localhost", 6379)));
        assert_eq!((plain.tls, plain.database), (false, 0));

        let full = StoreUrl::parse("rediss://ada:p%40ss@[::1]:7000/3").unwrap();
        assert_eq!(full.site, Site::Single(at("::1", 7000)));
        assert_eq!((full.tls, full.database), (true, 3));
        assert_eq!(full.user.as_deref(), Some("ada"));
        assert_eq!(full.password.as_deref(), Some("p@ss"));
        assert!(!format!("{full:?}").contains("p@ss"), "no secret is shown");

        let watched = StoreUrl::parse("redis-sentinel://a,b:9,c/main/2").unwrap();
        let sentinels = vec![at("a", 26379), at("b", 9), at("c", 26379)];
        let name = "main".into();
        assert_eq!(watched.site, Site::Sentinel { sentinels, name });
        assert_eq!(watched.database, 2);

        let many = StoreUrl::parse("rediss-cluster://:secret@a,b:1").unwrap();
        let seeds = vec![at("a", 6379), at("b", 1)];
        assert_eq!(many.site, Site::Cluster { seeds });
        assert_eq!((many.user, many.password), (None, Some("secret".into())));
    }

    #[test]
    fn l5_what_is_no_url_of_ours_is_told_so_without_showing_it() {
        for url in [
            "secret",
            "http://secret@host",
            "redis-other://secret@host",
            "redis://:secret@",
            "redis://:secret@host:port",
            "redis://:secret@host/x",
            "redis://:secret@a,b",
            "redis://:secret@%zz@[::1",
            "redis-sentinel://:secret@a,b",
            "redis-cluster://:secret@a/3",
            "redis-cluster://:secret@a,,b",
        ] {
            let message = StoreUrl::parse(url).unwrap_err().to_string();
            assert!(message.contains("redis-cluster://"), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
