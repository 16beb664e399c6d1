//! Redis behind TLS, with certificates of the test's own.

use std::{fs, path::PathBuf, sync::Arc};

use outlast_store::{
    Announcements, Nudge, StoreError, StoreEvent,
    redis::{Access, Certificate, Redis, RedisSettings},
};
use outlast_testkit::{RedisServer, free_port};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::scene::{LAYOUT, append, hear, patient};

/// An authority, a server that it vouches for, and a client.
struct Trust {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Trust {
    fn new(name: &str) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap());
        Trust {
            folder: tempfile::tempdir().unwrap(),
            authority: authority.unwrap(),
        }
    }

    fn ca_pem(&self) -> Vec<u8> {
        self.authority.pem().into_bytes()
    }

    fn certificate(&self, name: &str) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let certificate = named(name, &[name])
            .signed_by(&key, &self.authority)
            .unwrap();
        Certificate {
            chain_pem: certificate.pem().into_bytes(),
            key_pem: key.serialize_pem().into_bytes(),
        }
    }

    fn file(&self, name: &str, text: &[u8]) -> String {
        let path: PathBuf = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// A server whose certificate is for `localhost`, and its TLS port.
    fn server(&self) -> (RedisServer, u16) {
        let port = free_port();
        let ours = self.certificate("localhost");
        let files = [
            ("--tls-ca-cert-file", self.ca_pem()),
            ("--tls-cert-file", ours.chain_pem),
            ("--tls-key-file", ours.key_pem),
        ];
        let files = files.map(|(option, pem)| [option.to_owned(), self.file(option, &pem)]);
        let port_option = port.to_string();
        let mut options = vec!["--tls-port", &port_option];
        options.extend(files.iter().flatten().map(String::as_str));
        (RedisServer::start_with(&options), port)
    }
}

/// Returns the parameters of a certificate. One with the same name as its authority would be taken for it.
fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts = hosts.iter().map(|&host| host.to_owned());
    let mut params = CertificateParams::new(hosts.collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

async fn connect(url: &str, access: Access) -> Result<Arc<Redis>, StoreError> {
    let settings = RedisSettings {
        access,
        ..patient()
    };
    Redis::connect(url, LAYOUT, settings).await
}

async fn refusal(url: &str, access: Access) -> String {
    let Err(error) = connect(url, access).await else {
        panic!("{url} must not be trusted");
    };
    error.to_string()
}

#[tokio::test]
async fn l3_a_store_behind_tls_is_used_by_who_trusts_it_and_is_trusted() {
    let trust = Trust::new("authority");
    let (_server, port) = trust.server();
    let url = format!("rediss://localhost:{port}");
    let good = Access {
        ca_pem: Some(trust.ca_pem()),
        certificate: Some(trust.certificate("client")),
        ..Access::default()
    };
    let store = connect(&url, good.clone()).await.unwrap();
    append(&*store).await.unwrap();
    let (_subscriptions, mut listener) = store.listen(&"gateway".into()).await.unwrap();
    store.nudge(None, &Nudge::Released).await.unwrap();
    assert_eq!(
        hear(&mut *listener).await,
        StoreEvent::Nudge(Nudge::Released)
    );

    let stranger = Trust::new("stranger");
    let untrusting = Access {
        ca_pem: Some(stranger.ca_pem()),
        ..good.clone()
    };
    let told = refusal(&url, untrusting).await;
    assert!(told.contains("--store-ca-file"), "{told}");

    let misnamed = format!("rediss://127.0.0.1:{port}");
    let told = refusal(&misnamed, good.clone()).await;
    assert!(told.contains("another name"), "{told}");

    let nameless = Access {
        certificate: None,
        ..good.clone()
    };
    let told = refusal(&url, nameless).await;
    assert!(told.contains("--store-cert-file"), "{told}");

    let unknown = Access {
        certificate: Some(stranger.certificate("client")),
        ..good.clone()
    };
    let told = refusal(&url, unknown).await;
    assert!(told.contains("--store-cert-file"), "{told}");

    let unreadable = Access {
        ca_pem: Some(b"-----BEGIN CERTIFICATE-----\n!".into()),
        ..good
    };
    let told = refusal(&url, unreadable).await;
    assert!(told.contains("PEM"), "{told}");
}

#[tokio::test]
async fn h3_user_and_password_are_given_apart_from_the_url_and_never_shown() {
    let server =
        RedisServer::start_with(&["--user", "outlast", "on", ">right-one", "~*", "&*", "+@all"]);
    let access = |user: &str, password: &str| Access {
        user: Some(user.into()),
        password: Some(password.into()),
        ..Access::default()
    };
    let url = server.url();
    let store = connect(&url, access("outlast", "right-one")).await.unwrap();
    append(&*store).await.unwrap();
    assert_eq!(
        server.run_as::<String>("outlast:right-one@", &["ACL", "WHOAMI"]),
        "outlast"
    );
    // What is given apart is nearer than what the URL says.
    let other = url.replace("redis://", "redis://outlast:wrong-one@");
    connect(&other, access("outlast", "right-one"))
        .await
        .unwrap();

    let told = refusal(&url, access("outlast", "wrong-one")).await;
    assert!(told.contains("--store-password-file"), "{told}");
    assert!(!told.contains("wrong-one"), "{told}");
    let shown = format!("{:?}", access("outlast", "wrong-one"));
    assert!(!shown.contains("wrong-one"), "{shown}");
}
