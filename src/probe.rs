//! `outlast probe`: asks a process whether it is ready, for health checks in an image that holds nothing
//! but this program.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs},
    time::Duration,
};

use anyhow::{Context, bail};

/// The longest time that each step of asking may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// More of an answer is not read.
const ANSWER_BYTES_MAX: u64 = 4096;

/// Where to ask, and what.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    host: String,
    path: String,
}

impl Probe {
    /// The URL that was given, or readiness on the admin listener.
    pub(crate) fn of(url: Option<&str>, admin_listen: Option<SocketAddr>) -> anyhow::Result<Probe> {
        let Some(url) = url else {
            let listens = admin_listen.unwrap_or((Ipv4Addr::LOCALHOST, 9464).into());
            return Ok(Probe {
                host: reachable(listens).to_string(),
                path: "/readyz".into(),
            });
        };
        let Some(rest) = url.strip_prefix("http://") else {
            bail!("cannot probe {url:?}; give http://HOST:PORT/PATH");
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Ok(Probe {
            host: host.into(),
            path: if path.is_empty() { "/" } else { path }.into(),
        })
    }

    /// Asks, once.
    ///
    /// # Errors
    /// When there is no answer in time, or another one than 200.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let answer = self
            .ask()
            .with_context(|| format!("nothing answers on http://{}{}", self.host, self.path))?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        if status != "200" {
            let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
            bail!("not ready: {status} {}", body.trim());
        }
        Ok(())
    }

    fn ask(&self) -> anyhow::Result<String> {
        let address = self.host.to_socket_addrs()?.next();
        let address = address.context("the name has no address")?;
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.path, self.host
        )?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// A listener on every address is asked on the loopback.
fn reachable(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listens.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(host: &str, path: &str) -> Probe {
        Probe {
            host: host.into(),
            path: path.into(),
        }
    }

    #[test]
    fn l4_what_is_probed_is_readiness_unless_a_url_is_given() {
        let everywhere = "0.0.0.0:9000".parse().unwrap();
        assert_eq!(
            Probe::of(None, None).unwrap(),
            probe("127.0.0.1:9464", "/readyz")
        );
        assert_eq!(
            Probe::of(None, Some(everywhere)).unwrap(),
            probe("127.0.0.1:9000", "/readyz")
        );
        assert_eq!(
            Probe::of(Some("http://a:1/b/c"), Some(everywhere)).unwrap(),
            probe("a:1", "/b/c")
        );
        assert_eq!(
            Probe::of(Some("http://a:1"), None).unwrap(),
            probe("a:1", "/")
        );
        let error = Probe::of(Some("https://a"), None).unwrap_err().to_string();
        assert!(error.contains("http://HOST:PORT"), "{error}");
    }
}
