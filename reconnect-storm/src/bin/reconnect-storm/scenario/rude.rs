//! As many clients again that obey no `retry_ms` and try again each 100 ms. All of them are at the
//! gateway that is killed; the polite ones are at both.

use crate::swarm::{Crowd, Kind};

pub(super) fn crowd(polite: &Crowd) -> Crowd {
    Crowd {
        kind: Kind::Rude,
        first: polite.first + polite.clients,
        all_at_first: true,
        ..polite.clone()
    }
}
