use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};

use super::*;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const HOUR_S: u64 = 3600;

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn sign(algorithm: Algorithm, key: &EncodingKey, kid: Option<&str>, claims: &Value) -> String {
    let kid = kid.map(str::to_owned);
    encode(
        &Header {
            kid,
            ..Header::new(algorithm)
        },
        claims,
        key,
    )
    .unwrap()
}

fn hs256(claims: &Value) -> String {
    sign(
        Algorithm::HS256,
        &EncodingKey::from_secret(SECRET),
        None,
        claims,
    )
}

fn auth() -> Auth {
    Auth::tokens(Keys::secret(SECRET).unwrap(), false)
}

/// Each kind of asymmetric key: how it signs, and the two halves in PEM.
fn pairs() -> [(Algorithm, EncodingKey, &'static [u8]); 3] {
    macro_rules! pem {
        ($name:literal) => {
            include_bytes!(concat!("../../tests/keys/", $name, ".pem"))
        };
    }
    [
        (
            Algorithm::RS256,
            EncodingKey::from_rsa_pem(pem!("rsa")).unwrap(),
            pem!("rsa.pub"),
        ),
        (
            Algorithm::ES256,
            EncodingKey::from_ec_pem(pem!("ec")).unwrap(),
            pem!("ec.pub"),
        ),
        (
            Algorithm::EdDSA,
            EncodingKey::from_ed_pem(pem!("ed")).unwrap(),
            pem!("ed.pub"),
        ),
    ]
}

#[test]
fn h5_a_token_says_who_it_is_until_when_and_where() {
    let exp = now_s() + HOUR_S;
    let token = hs256(&json!({"sub": "ada", "exp": exp, "rooms": ["chat/*"], "aud": "any"}));
    let identity = auth().verify(&token).unwrap();
    assert_eq!(identity.user, "ada");
    assert_eq!(identity.expires_at, Some(exp));
    assert_eq!(identity.rooms, Some(vec!["chat/*".to_owned()]));
    let bare = auth().verify(&hs256(&json!({"sub": "ada"}))).unwrap();
    assert_eq!((bare.expires_at, bare.rooms), (None, None));
}

#[test]
fn h5_what_is_wrong_with_a_token_is_named() {
    let other = EncodingKey::from_secret(b"another secret of thirty-two byte");
    let [_, (_, ec, _), _] = pairs();
    let cases = [
        (
            hs256(&json!({"sub": "ada", "exp": now_s() - 1})),
            AuthError::Expired,
        ),
        (
            hs256(&json!({"sub": "ada", "nbf": now_s() + HOUR_S})),
            AuthError::TooEarly,
        ),
        (
            sign(Algorithm::HS256, &other, None, &json!({"sub": "ada"})),
            AuthError::Signature,
        ),
        (
            sign(Algorithm::ES256, &ec, None, &json!({"sub": "ada"})),
            AuthError::Signature,
        ),
        (
            sign(
                Algorithm::HS512,
                &EncodingKey::from_secret(SECRET),
                None,
                &json!({"sub": "ada"}),
            ),
            AuthError::Signature,
        ),
    ];
    for (token, error) in cases {
        assert_eq!(auth().verify(&token), Err(error));
    }
    let malformed = [
        String::new(),
        "x".to_owned(),
        "a.b.c".to_owned(),
        hs256(&json!({"exp": now_s() + HOUR_S})),
        hs256(&json!({"sub": ""})),
        hs256(&json!({"sub": "x".repeat(257)})),
        hs256(&json!({"sub": "ada", "rooms": "chat/*"})),
        // No signature at all, which some libraries once took for a good one.
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.".to_owned(),
    ];
    for token in malformed {
        let error = auth().verify(&token).unwrap_err();
        assert!(
            matches!(error, AuthError::Malformed(_)),
            "{token}: {error:?}"
        );
        assert!(
            token.len() < 2 || !error.to_string().contains(&token),
            "{error}"
        );
    }
}

#[test]
fn h5_without_a_token_there_is_nobody_unless_anonymous_is_allowed() {
    assert_eq!(auth().identify(None, true), Err(AuthError::Missing));
    let either = Auth::tokens(Keys::secret(SECRET).unwrap(), true);
    let [one, other] = [
        either.identify(None, true).unwrap(),
        either.identify(None, true).unwrap(),
    ];
    assert_ne!(one.user, other.user);
    assert_eq!(
        either
            .identify(Some(&hs256(&json!({"sub": "ada"}))), true)
            .unwrap()
            .user,
        "ada"
    );
    assert_eq!(
        Auth::anonymous().identify(Some("x"), true),
        Err(AuthError::NoKey)
    );
}

#[test]
fn h5_pem_keys_of_all_three_kinds() {
    for (algorithm, private, public) in pairs() {
        let auth = Auth::tokens(Keys::pem(public).unwrap(), false);
        let token = sign(algorithm, &private, None, &json!({"sub": "ada"}));
        assert_eq!(auth.verify(&token).unwrap().user, "ada", "{algorithm:?}");
        // The public key is no secret: it must not pass for one.
        let forged = EncodingKey::from_secret(public);
        let forged = sign(Algorithm::HS256, &forged, None, &json!({"sub": "ada"}));
        assert_eq!(
            auth.verify(&forged),
            Err(AuthError::Signature),
            "{algorithm:?}"
        );
    }
}

#[test]
fn h5_a_key_set_is_searched_by_name_and_without_one() {
    let mut keys: Vec<_> = pairs()
        .iter()
        .map(|(algorithm, private, _)| {
            let mut jwk = Jwk::from_encoding_key(private, *algorithm).unwrap();
            jwk.common.key_id = Some(format!("{algorithm:?}"));
            serde_json::to_value(jwk).unwrap()
        })
        .collect();
    keys.push(json!({"kty": "XYZ", "kid": "unknown"}));
    let auth = Auth::tokens(
        Keys::jwks(json!({"keys": keys}).to_string().as_bytes()).unwrap(),
        false,
    );
    for (algorithm, private, _) in pairs() {
        let name = format!("{algorithm:?}");
        for kid in [Some(name.as_str()), None] {
            let token = sign(algorithm, &private, kid, &json!({"sub": "ada"}));
            assert_eq!(auth.verify(&token).unwrap().user, "ada", "{kid:?}");
        }
        let token = sign(algorithm, &private, Some("another"), &json!({"sub": "ada"}));
        assert_eq!(auth.verify(&token), Err(AuthError::Signature));
    }
}

#[test]
fn l5_key_material_that_is_of_no_use_says_why() {
    let p384 = include_bytes!("../../tests/keys/p384.pub.pem");
    assert_eq!(Keys::secret(b"\n").err(), Some(KeyError::EmptySecret));
    assert!(Keys::secret(b"short\n").is_ok(), "it is warned of");
    assert_eq!(Keys::pem(b"nonsense").err(), Some(KeyError::NotPem));
    assert_eq!(Keys::pem(p384).err(), Some(KeyError::NotPem));
    assert!(matches!(
        Keys::jwks(b"[]").err(),
        Some(KeyError::NotJwks(_))
    ));
    assert_eq!(
        Keys::jwks(br#"{"keys": []}"#).err(),
        Some(KeyError::EmptyJwks)
    );
}

#[test]
fn a5_patterns_allow_a_prefix_or_a_whole_name() {
    let may = |patterns: Option<&[&str]>, room: &str| {
        let patterns: Option<Vec<_>> =
            patterns.map(|list| list.iter().map(|text| text.to_string()).collect());
        allows(patterns.as_deref(), &room.parse().unwrap())
    };
    assert!(may(None, "chat/a"));
    assert!(!may(Some(&[]), "chat/a"));
    assert!(may(Some(&["game/a", "chat/*"]), "chat/a"));
    assert!(may(Some(&["*"]), "chat/a"));
    assert!(may(Some(&["chat/a"]), "chat/a"));
    assert!(!may(Some(&["chat/a"]), "chat/ab"));
    assert!(!may(Some(&["chat/*"]), "chats/a"));
}

#[test]
fn h5_without_a_token_only_who_tries_it_out_at_this_machine_is_an_operator() {
    let admin = |auth: Auth, local| auth.identify(None, local).unwrap().admin;
    assert!(admin(Auth::at_home(), true));
    assert!(!admin(Auth::at_home(), false));
    assert!(!admin(Auth::anonymous(), true));
    assert!(!admin(
        Auth::tokens(Keys::secret(SECRET).unwrap(), true),
        true
    ));
}
