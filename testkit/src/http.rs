//! A small HTTP client that blocks.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

const READ_WITHIN: Duration = Duration::from_secs(20);

/// A server's answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Everything, with the headers.
    pub text: String,
}

impl Answer {
    /// Returns the part after the headers.
    pub fn body(&self) -> &str {
        self.text
            .split_once("\r\n\r\n")
            .map_or("", |(_, body)| body)
    }

    fn is_whole(&self) -> bool {
        let length = self.text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>())
        });
        length.is_none_or(|length| length == Ok(self.body().len()))
    }
}

/// Returns the answer to a request; `None` where none, or no whole one, comes.
pub fn request(
    method: &str,
    address: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(READ_WITHIN)).ok()?;
    let headers = headers.iter();
    let headers: String = headers
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\
         {headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let answer = Answer { status, text };
    answer.is_whole().then_some(answer)
}

/// The headers of a request that says something in JSON.
pub const JSON: (&str, &str) = ("Content-Type", "application/json");
