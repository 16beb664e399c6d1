//! The tools that disturb do what they say.

use std::{
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use outlast_testkit::{
    WallClock,
    proxy::{Hitch, Proxy, Snag, Toward},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

fn told(clock: &WallClock) -> i64 {
    let mut command = Command::new("date");
    command.envs(clock.environment());
    let output = command.arg("+%s").output().unwrap();
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .unwrap()
}

#[test]
fn a_wall_clock_jumps_and_comes_back() {
    let clock = WallClock::new();
    for hours in [0, 1, -1, 0] {
        clock.shift_ms(hours * 3_600_000);
        let right = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let off = told(&clock) - right.as_secs() as i64 - hours * 3_600;
        assert!((-1..=60).contains(&off), "{hours} h: {off} s off");
    }
}

/// Somebody who sends back what comes.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await.ok();
            });
        }
    });
    address
}

#[tokio::test]
async fn a_proxy_cuts_after_so_many_bytes_of_a_reply() {
    let proxy = Proxy::start(&[echo().await]).await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let mut piece = [0; 4];
    client.write_all(b"once").await.unwrap();
    client.read_exact(&mut piece).await.unwrap();
    let cut = Hitch {
        toward: Toward::Client,
        after_bytes: 3,
        what: Snag::Cut,
    };
    assert_eq!(proxy.hitch(cut, |_| true), 1);
    client.write_all(b"again").await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.ok();
    assert_eq!(rest, b"aga");
}

#[tokio::test]
async fn a_proxy_holds_bytes_and_lets_them_go() {
    let proxy = Proxy::start(&["127.0.0.1:1".into(), echo().await]).await;
    let hold = Hitch {
        toward: Toward::Server,
        after_bytes: 2,
        what: Snag::Hold(Duration::from_millis(300)),
    };
    proxy.hitch_coming(hold, Duration::from_secs(60));
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let start = tokio::time::Instant::now();
    client.write_all(b"held").await.unwrap();
    let mut piece = [0; 2];
    client.read_exact(&mut piece).await.unwrap();
    assert_eq!(&piece, b"he");
    client.read_exact(&mut piece).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(&piece, b"ld");
}
