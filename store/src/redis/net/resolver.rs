//! The addresses behind a name, which are asked for at each attempt: a Redis may have another one by then.

use std::{fmt, io, net::IpAddr, sync::Arc};

use tokio::net::lookup_host;

use super::url::Address;

/// The number of addresses of one name that are tried.
const SPOTS_MAX: usize = 16;

/// An address, and which of the machines behind its name is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::redis) struct ResolvedAddress {
    pub(in crate::redis) address: Address,
    pub(in crate::redis) ip: IpAddr,
}

/// A resolver of names, in place of this machine's.
#[derive(Clone)]
pub struct Resolver(Arc<Lookup>);

type Lookup = dyn Fn(&str) -> Vec<IpAddr> + Send + Sync;

impl Resolver {
    /// Returns a resolver that calls `tell`, which must not wait.
    pub fn new(tell: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Self {
        Resolver(Arc::new(tell))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names(…)")
    }
}

impl ResolvedAddress {
    /// Every machine that an address may mean now.
    pub(in crate::redis) async fn all(
        address: &Address,
        names: Option<&Resolver>,
    ) -> io::Result<Vec<Self>> {
        let host = address.host.as_str();
        let ips = match (host.parse(), names) {
            (Ok(ip), _) => vec![ip],
            (Err(_), Some(Resolver(tell))) => tell(host),
            (Err(_), None) => {
                let found = lookup_host((host, address.port)).await?;
                found.map(|found| found.ip()).collect()
            }
        };
        let mut spots: Vec<_> = ips
            .into_iter()
            .map(|ip| ResolvedAddress {
                address: address.clone(),
                ip,
            })
            .collect();
        spots.sort();
        spots.dedup();
        spots.truncate(SPOTS_MAX);
        Ok(spots)
    }
}

impl fmt::Display for ResolvedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ResolvedAddress { address, ip } = self;
        match address.host.parse::<IpAddr>() {
            Ok(_) => write!(f, "{address}"),
            Err(_) => write!(f, "{address} ({ip})"),
        }
    }
}
