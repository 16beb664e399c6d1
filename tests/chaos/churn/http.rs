use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(8);

/// Asks over HTTP; nothing where no whole answer comes.
pub(crate) async fn request(
    method: &str,
    address: &str,
    path: &str,
    key: Option<&str>,
    body: &str,
) -> Option<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let key = key.map_or(String::new(), |key| format!("Idempotency-Key: {key}\r\n"));
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n{key}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>())
        });
        let whole = length.is_none_or(|length| length.is_ok_and(|length| length == body.len()));
        whole.then(|| (status, body.to_owned()))
    };
    timeout(PATIENCE, exchange).await.ok()?
}

/// Returns the answer at a path, as JSON.
pub(crate) async fn look(address: &str, path: &str) -> Option<(u16, Value)> {
    let (status, body) = request("GET", address, path, None, "").await?;
    Some((status, serde_json::from_str(&body).unwrap_or(Value::Null)))
}
