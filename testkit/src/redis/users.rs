//! Each role as an ACL user of its own, with the least that it needs.

/// The file that is shipped for operators, but for the passwords.
const USERS: &str = include_str!("../../../store/src/redis/acl/users.acl");

/// The password of all of them here.
pub const PASSWORD: &str = "a-secret";

/// Returns the options that make a server know the users.
pub fn options() -> Vec<String> {
    // The tests' own commands are `default`'s.
    let users = USERS
        .lines()
        .filter(|line| !line.starts_with("user default"));
    let users = users.map(|line| {
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

/// The shipped file as an operator completes it: a password for each user, and somebody who may look.
pub fn file() -> String {
    let lines = USERS
        .lines()
        .map(|line| match line.starts_with("user default") {
            true => format!("{line}\n"),
            false => format!("{line} >{PASSWORD}\n"),
        });
    lines.collect::<String>() + &operator()
}

/// The rules of the shipped users for a deployment with another prefix.
pub fn renamed(prefix: &str) -> Vec<String> {
    let lines = USERS
        .lines()
        .filter(|line| !line.starts_with("user default"));
    let rules = lines.map(|line| {
        let (_, rules) = line.split_once(' ').expect("one user a line");
        let (name, rules) = rules.split_once(' ').expect("each has rules");
        let rules = rules.replace("~ol:", &format!("~{prefix}:"));
        let rules = rules.replace("&ol:", &format!("&{prefix}:"));
        format!("{name} reset {rules} >{PASSWORD}")
    });
    rules.collect()
}

/// A line of an ACL file: who may look at everything.
pub fn operator() -> String {
    format!("user operator on >{PASSWORD} ~* &* +@all\n")
}

/// The part of a URL that says who that is.
pub fn as_operator() -> String {
    format!("operator:{PASSWORD}@")
}
