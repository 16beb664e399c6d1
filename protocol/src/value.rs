//! The values that may be a payload: those that JSON and MessagePack both have.
//!
//! Looking at a payload by way of [`serde_json::Value`] would not do: that type takes a map with the key
//! `$serde_json::private::RawValue` for a JSON text and parses it, past every bound on depth.

use std::{fmt, io};

use serde::{
    Deserializer, Serialize,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

/// Writes a value of any format down as JSON text. Refuses what is no value of JSON's.
pub(crate) fn transcribe<'de, D: Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    let mut text = Vec::new();
    Transcript::new(&mut text, "").deserialize(value)?;
    String::from_utf8(text).map_err(D::Error::custom)
}

/// True if a JSON text stands for a value. Some do not: `1e999` and `"\ud800"` follow the grammar, but
/// nothing can be read from them.
pub(crate) fn check(text: &str) -> serde_json::Result<()> {
    Transcript::new(&mut io::sink(), "").deserialize(&mut serde_json::Deserializer::from_str(text))
}

/// A value on its way into a JSON text, after a comma or a colon where one is due.
struct Transcript<'a, W> {
    out: &'a mut W,
    due: &'static str,
}

impl<'a, W: io::Write> Transcript<'a, W> {
    fn new(out: &'a mut W, due: &'static str) -> Self {
        Transcript { out, due }
    }

    fn write<E: Error>(self, value: &(impl Serialize + ?Sized)) -> Result<(), E> {
        serde_json::to_writer(self.out, value).map_err(E::custom)
    }
}

impl<'de, W: io::Write> DeserializeSeed<'de> for Transcript<'_, W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        put(self.out, self.due)?;
        value.deserialize_any(self)
    }
}

impl<'de, W: io::Write> Visitor<'de> for Transcript<'_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.write(&())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.write(&value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.write(&value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.write(&value)
    }

    /// JSON has no infinities and no NaN; they become `null`.
    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.write(&value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.write(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let out = self.out;
        let mut due = "";
        put(out, "[")?;
        while items
            .next_element_seed(Transcript::new(&mut *out, due))?
            .is_some()
        {
            due = ",";
        }
        put(out, "]")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let out = self.out;
        let mut due = "";
        put(out, "{")?;
        while entries.next_key_seed(Key(&mut *out, due))?.is_some() {
            entries.next_value_seed(Transcript::new(&mut *out, ":"))?;
            due = ",";
        }
        put(out, "}")
    }
}

/// The key of a map. Those by which serde_json talks to itself are refused, for the sake of everybody
/// who reads a payload as a [`serde_json::Value`].
struct Key<'a, W>(&'a mut W, &'static str);

impl<'de, W: io::Write> DeserializeSeed<'de> for Key<'_, W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<(), D::Error> {
        put(self.0, self.1)?;
        key.deserialize_str(self)
    }
}

impl<W: io::Write> Visitor<'_> for Key<'_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text as the key of a map")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        if key.starts_with("$serde_json::private::") {
            return Err(E::custom(format_args!("no payload has a key like {key:?}")));
        }
        serde_json::to_writer(self.0, key).map_err(E::custom)
    }
}

fn put<E: Error>(out: &mut impl io::Write, text: &str) -> Result<(), E> {
    out.write_all(text.as_bytes()).map_err(E::custom)
}
