//! Randomness that can be repeated.

use rand::{SeedableRng, rngs::StdRng};

/// Returns a seed, and prints it; `OUTLAST_SEED=…` gives the same again.
pub fn seed() -> u64 {
    let given = std::env::var("OUTLAST_SEED").ok();
    let seed = given.map_or_else(rand::random, |seed| {
        seed.parse().expect("OUTLAST_SEED is a number")
    });
    println!("OUTLAST_SEED={seed}");
    seed
}

/// Returns a generator with such a [`seed`].
pub fn seeded() -> StdRng {
    StdRng::seed_from_u64(seed())
}
