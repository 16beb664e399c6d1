//! Each role as an ACL user of its own, with the least that it needs.

use outlast_broker::redis::Access;

/// What is shipped for operators, but for the passwords.
const USERS: &str = include_str!("../../src/redis/acl/users.acl");

/// The password of all of them here.
pub(crate) const PASSWORD: &str = "a-secret";

/// What a server is started with so that it knows the users.
pub(crate) fn options() -> Vec<String> {
    let users = USERS.lines().map(|line| {
        let rules = line.strip_prefix("user ").expect("one user a line");
        let words = rules.split_whitespace().map(String::from);
        let password = format!(">{PASSWORD}");
        ["--user".to_owned()]
            .into_iter()
            .chain(words)
            .chain([password])
    });
    users.flatten().collect()
}

/// Who does everything.
pub(crate) fn everything() -> Access {
    Access {
        user: Some("outlast".into()),
        password: Some(PASSWORD.into()),
        ..Access::default()
    }
}
