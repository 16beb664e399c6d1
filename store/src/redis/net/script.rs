//! The requests that may be sent to a Redis.

use redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisResult, Script, ServerErrorKind, ToRedisArgs, Value,
    aio::MultiplexedConnection,
};

use super::url::Address;

/// Something to be done where a key lies. It is sent once: an error leaves open what became of it, except
/// for a [`Redirect`], which says that nothing did.
#[derive(Debug, Clone, Copy)]
pub(in crate::redis) enum Request<'a> {
    Call(&'a ScriptCall<'a>),
    Command(&'a Cmd),
    /// For commands that change nothing, or that every node takes.
    All(&'a Pipeline),
}

impl Request<'_> {
    /// Does it. `asking` is for a slot that is just being moved to this Redis.
    pub(in crate::redis) async fn run(
        &self,
        connection: &mut MultiplexedConnection,
        asking: bool,
    ) -> RedisResult<Value> {
        match self {
            Request::Call(call) => call.run(connection, asking).await,
            Request::Command(command) => run(command, connection, asking).await,
            Request::All(all) if asking => {
                let mut asked = Pipeline::new();
                for command in all.cmd_iter() {
                    asked.cmd("ASKING").ignore();
                    asked.add_command(command.clone());
                }
                asked.query_async(connection).await
            }
            Request::All(all) => all.query_async(connection).await,
        }
    }
}

/// A script with what it is given. On a Cluster all its keys lie in one slot.
#[derive(Debug)]
pub(in crate::redis) struct ScriptCall<'a> {
    script: &'a Script,
    command: Cmd,
    /// Any of its keys.
    pub(in crate::redis) home: String,
}

impl<'a> ScriptCall<'a> {
    pub(in crate::redis) fn new<K: AsRef<str>>(script: &'a Script, keys: &[K]) -> Self {
        ScriptCall::by("EVALSHA", script, keys, 0)
    }

    /// One that is about to be given so many bytes.
    pub(in crate::redis) fn of_bytes<K: AsRef<str>>(
        script: &'a Script,
        keys: &[K],
        bytes: usize,
    ) -> Self {
        ScriptCall::by("EVALSHA", script, keys, bytes)
    }

    /// One of a script that only reads, so that who may only read may run it.
    pub(in crate::redis) fn reading<K: AsRef<str>>(script: &'a Script, keys: &[K]) -> Self {
        ScriptCall::by("EVALSHA_RO", script, keys, 0)
    }

    fn by<K: AsRef<str>>(name: &str, script: &'a Script, keys: &[K], bytes: usize) -> Self {
        const HASH: usize = 40;
        let touched: usize = keys.iter().map(|key| key.as_ref().len()).sum();
        let bytes = name.len() + HASH + touched + bytes;
        let mut command = Cmd::with_capacity(3 * keys.len() + 3, bytes);
        command.arg(name).arg(script.get_hash()).arg(keys.len());
        for key in keys {
            command.arg(key.as_ref());
        }
        let home = keys.first().map_or("", K::as_ref).to_owned();
        ScriptCall {
            script,
            command,
            home,
        }
    }

    pub(in crate::redis) fn arg(&mut self, arg: impl ToRedisArgs) -> &mut Self {
        self.command.arg(arg);
        self
    }

    async fn run(
        &self,
        connection: &mut MultiplexedConnection,
        asking: bool,
    ) -> RedisResult<Value> {
        match run(&self.command, connection, asking).await {
            // A script that is not there has done nothing.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.script.load_async(connection).await?;
                run(&self.command, connection, asking).await
            }
            answer => answer,
        }
    }
}

async fn run(
    command: &Cmd,
    connection: &mut MultiplexedConnection,
    asking: bool,
) -> RedisResult<Value> {
    if !asking {
        return command.query_async(connection).await;
    }
    let mut both = Pipeline::new();
    both.cmd("ASKING").ignore().add_command(command.clone());
    let (answer,) = both.query_async(connection).await?;
    Ok(answer)
}

/// A node of a Cluster says that another one has the slot, and has done nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redis) struct Redirect {
    /// The other one; it may leave out its host, which is then the same.
    pub(in crate::redis) to: Address,
    /// True if this is for one request alone, since the slot is still on its way.
    pub(in crate::redis) ask: bool,
}

impl Redirect {
    /// Returns the redirect that an error contains. `from` is who said it.
    pub(in crate::redis) fn of(error: &RedisError, from: &Address) -> Option<Self> {
        let errors = error.clone().into_server_errors()?;
        // Those of several that were done have only read: they are done again with the rest.
        let (_, first) = errors.first()?;
        let ask = match first.code() {
            "MOVED" => false,
            "ASK" => true,
            _ => return None,
        };
        let (host, port) = first
            .details()?
            .split_whitespace()
            .nth(1)?
            .rsplit_once(':')?;
        let host = match host {
            "" => from.host.clone(),
            host => host.trim_matches(['[', ']']).to_owned(),
        };
        let to = Address {
            host,
            port: port.parse().ok()?,
        };
        Some(Redirect { to, ask })
    }
}
