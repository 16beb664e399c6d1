//! Which web pages may connect (H4). Pure.

/// True if a request from a page of `origin` may connect: `origin` is of the request's own host, or on
/// the list.
pub(crate) fn may_connect(origin: &str, host: Option<&str>, allowed: &[String]) -> bool {
    allowed
        .iter()
        .any(|allowed| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin))
        || host.is_some_and(|host| is_own(origin, host))
}

fn is_own(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |authority: &str| {
        let lower = authority.to_ascii_lowercase();
        lower
            .strip_suffix(default_port)
            .map_or(lower.clone(), str::to_owned)
    };
    bare(authority) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h4_own_host_and_listed_origins_pass() {
        let allowed = [
            "https://app.example".to_owned(),
            "https://b.example:8443/".to_owned(),
        ];
        for (origin, host, passes) in [
            ("http://localhost:8080", Some("localhost:8080"), true),
            ("https://chat.example", Some("chat.example"), true),
            ("https://chat.example", Some("chat.example:443"), true),
            ("http://Chat.example:80", Some("chat.EXAMPLE"), true),
            ("https://app.example", Some("chat.example"), true),
            ("https://b.example:8443", None, true),
            ("http://localhost:8081", Some("localhost:8080"), false),
            ("http://app.example", Some("chat.example"), false),
            ("https://app.example.evil", Some("chat.example"), false),
            ("https://evil/chat.example", Some("chat.example"), false),
            ("null", Some("null"), false),
            ("", Some(""), false),
            ("file://", Some(""), false),
            ("http://chat.example", None, false),
        ] {
            assert_eq!(
                may_connect(origin, host, &allowed),
                passes,
                "{origin} {host:?}"
            );
        }
    }
}
