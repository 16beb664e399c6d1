//! A client of the baseline: it upgrades, and does nothing else.

use std::{
    sync::{Arc, atomic::AtomicU32},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rand::{SeedableRng, rngs::StdRng};
use reconnect_storm::{Incoming, Settings, Socket};
use tokio::{sync::Notify, time::timeout};

use super::scoreboard::{ClientState, Scoreboard};

/// Comes back as often as it is cut, by the same code that dials for outlast, and to the next server.
pub(super) async fn stay(
    settings: Settings,
    board: Arc<Scoreboard>,
    state: Arc<Mutex<ClientState>>,
    cut: Arc<Notify>,
) {
    let mut rng = StdRng::seed_from_u64(settings.seed);
    let (mut gateway, mut attempt) = (settings.first_gateway, 0);
    loop {
        state.lock().dials(&board, Instant::now());
        let address = settings.gateways[gateway % settings.gateways.len()].clone();
        let dial = Socket::dial(address, &settings, Arc::new(AtomicU32::new(0)));
        if let Ok(Ok(mut socket)) = timeout(settings.attach_timeout, dial).await {
            attempt = 0;
            {
                let (mut state, now) = (state.lock(), Instant::now());
                state.attaches(&board, now);
                state.catches_up(&board, now);
            }
            let until_gone =
                async { while !matches!(socket.receive().await, Incoming::Gone(_)) {} };
            let is_cut = tokio::select! {
                () = until_gone => false,
                () = cut.notified() => true,
            };
            if is_cut {
                socket.cut();
            }
            state.lock().loses(&board, Instant::now());
        }
        gateway += 1;
        let delay = settings.backoff.delay(attempt, &mut rng);
        attempt += 1;
        if delay > Duration::ZERO {
            tokio::time::sleep(delay).await;
        }
    }
}
