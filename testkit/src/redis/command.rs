use redis::{FromRedisValue, RedisResult};

/// Runs a command as an operator would; `who` is the part of a URL that names a user and a password.
pub(super) fn run<T: FromRedisValue>(
    who: &str,
    address: (&str, u16),
    words: &[&str],
) -> RedisResult<T> {
    let (host, port) = address;
    let mut connection =
        redis::Client::open(format!("redis://{who}{host}:{port}"))?.get_connection()?;
    let (name, args) = words.split_first().unwrap();
    redis::cmd(name).arg(args).query(&mut connection)
}

/// Returns whether a server has loaded its data; one that wants a password has, too.
pub(super) fn is_ready(host: &str, port: u16) -> bool {
    match run::<()>("", (host, port), &["PING"]) {
        Ok(()) => true,
        Err(error) => error.code() == Some("NOAUTH"),
    }
}
