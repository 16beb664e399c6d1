//! Clients at this machine itself (H5). Pure.

use axum::http::{
    HeaderMap,
    header::{HOST, ORIGIN},
};

/// True if a request was meant for this machine by who sits at it. A page of another site can make a browser
/// send one here, under a name that it resolves to loopback, and a proxy can bring one from anywhere: the
/// first shows in `Origin` and `Host`, the second in what proxies add.
pub fn is_local(headers: &HeaderMap) -> bool {
    const OF_PROXIES: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    if OF_PROXIES.iter().any(|name| headers.contains_key(*name)) {
        return false;
    }
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|digit| digit.is_ascii_digit()) {
            name
        } else {
            host
        }
    });
    let loopback = ["localhost", "127.0.0.1", "[::1]"].contains(&name);
    let own = |origin: &str| origin.strip_prefix("http://") == Some(host);
    let mut origins = headers.get_all(ORIGIN).iter();
    loopback && origins.all(|origin| origin.to_str().is_ok_and(own))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[test]
    fn h5_a_request_is_local_only_from_this_machine_itself() {
        let local = |headers: &[(&'static str, &str)]| {
            let pairs = headers.iter().map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, value.parse().unwrap())
            });
            is_local(&pairs.collect())
        };
        assert!(local(&[("host", "127.0.0.1:9464")]));
        assert!(local(&[("host", "localhost")]));
        assert!(local(&[("host", "[::1]:80")]));
        assert!(local(&[
            ("host", "localhost:8080"),
            ("origin", "http://localhost:8080")
        ]));
        assert!(!local(&[]));
        assert!(!local(&[("host", "evil.example:9464")]));
        assert!(!local(&[("host", "localhost.evil.example")]));
        assert!(!local(&[
            ("host", "localhost:8080"),
            ("origin", "http://localhost:9999")
        ]));
        assert!(!local(&[("host", "localhost:8080"), ("origin", "null")]));
        assert!(!local(&[
            ("host", "localhost:8080"),
            ("x-forwarded-for", "1.2.3.4")
        ]));
    }
}
