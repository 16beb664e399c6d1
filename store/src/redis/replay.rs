//! The writes that Redis would drop when it reads its append-only file.
//!
//! Redis reads it as the user `default`, whoever wrote it, and EXEC asks again what that user may. What a script wrote
//! stands between MULTI and EXEC, so a `default` without rights drops all of it, and Redis starts with what is left.

use redis::{Cmd, InfoDict, Pipeline, Value, aio::MultiplexedConnection};

use super::{error::read_value, keys::Keys};
use crate::{PartitionId, ShardId};

/// Every command by which our scripts change something, each on a key of ours.
const WRITES: [(&str, &[&str]); 12] = [
    ("DEL", &[]),
    ("HDEL", &["field"]),
    ("HSET", &["field", "value"]),
    ("LTRIM", &["0", "-1"]),
    ("PERSIST", &[]),
    ("PEXPIREAT", &["1"]),
    ("RPUSH", &["value"]),
    ("SET", &["value"]),
    ("XADD", &["*", "field", "value"]),
    ("XTRIM", &["MINID", "1"]),
    ("ZADD", &["1", "member"]),
    ("ZREM", &["member"]),
];

/// Why some of what is written would be dropped, with the remedy; `None` where nothing would be, or where we may not
/// look.
pub(super) async fn dropped(connection: &mut MultiplexedConnection, keys: &Keys) -> Option<String> {
    let mut all = Pipeline::new();
    all.cmd("INFO").arg("persistence");
    for key in [keys.topic(PartitionId(0)), keys.due(ShardId(0))] {
        for (name, args) in WRITES {
            all.add_command(as_default(name, &key, args));
        }
    }
    let all = all.ignore_errors();
    let mut answers = match all.query_async::<Vec<Value>>(connection).await {
        Ok(answers) => answers.into_iter(),
        Err(error) => {
            tracing::debug!("reading the permissions of Redis user `default` failed: {error}");
            return None;
        }
    };
    let info: InfoDict = read_value(answers.next()?).ok()?;
    if info.get::<u8>("aof_enabled") != Some(1) {
        return None;
    }
    let mut told = Vec::new();
    for answer in answers {
        if let Value::ServerError(error) = &answer
            && error.code() == "NOPERM"
        {
            tracing::info!(
                "permissions of Redis user `default` not checked: this needs +acl|dryrun"
            );
            return None;
        }
        told.extend(read_value::<String>(answer).ok());
    }
    let why = told.into_iter().find(|answer| answer != "OK")?;
    Some(format!(
        "it reads its append-only file as the user `default`, and drops what that one may not do ({why}). Give it \
         all rights and no login: `ACL SETUSER default off ~* &* +@all`, and the same in the ACL file; a probe needs a \
         user of its own"
    ))
}

/// Asks whether the user `default` might run a command.
fn as_default(name: &str, key: &str, args: &[&str]) -> Cmd {
    let mut ask = redis::cmd("ACL");
    ask.arg("DRYRUN")
        .arg("default")
        .arg(name)
        .arg(key)
        .arg(args);
    ask
}
