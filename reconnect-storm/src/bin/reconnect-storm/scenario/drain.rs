//! A gateway is told to go: it moves its clients, and goes when the last has gone (D3).

use std::time::Duration;

use anyhow::Context;

use crate::{
    field::Field,
    report::{Fact, Unit},
    swarm::Done,
};

pub(super) async fn storm(field: &mut Field) -> anyhow::Result<Vec<Fact>> {
    if field.options.storm_command.is_some() {
        field.run_storm_command().await?;
        return Ok(Vec::new());
    }
    let within = Duration::from_millis(field.options.drain_ms) + Duration::from_secs(30);
    let gateway = field
        .stage()?
        .gateways
        .first_mut()
        .context("there is a gateway")?;
    gateway.tell_to_go()?;
    let gone = gateway.gone(within).await?;
    let limit_s = field.options.drain_ms as f64 / 1e3;
    Ok(vec![
        Fact::new(
            "gone_s",
            "the process went after",
            gone.as_secs_f64(),
            Unit::Seconds,
        )
        .note(format!("--drain-ms allows {limit_s} s"))
        .headline(),
    ])
}

/// How evenly the moves were spread, and whether anybody noticed.
pub(super) fn facts(done: &Done) -> Vec<Fact> {
    let told = done
        .journeys
        .iter()
        .filter(|journey| journey.move_at_us.is_some())
        .count();
    let moved = done
        .journeys
        .iter()
        .filter(|journey| journey.moved_us.is_some())
        .count();
    let without = done
        .journeys
        .iter()
        .filter(|journey| journey.out_us.is_some())
        .count();
    let silenced = done
        .journeys
        .iter()
        .filter_map(|journey| journey.silenced_us)
        .max();
    let last = done
        .journeys
        .iter()
        .filter_map(|journey| journey.moved_us)
        .max();
    let mut facts = vec![
        Fact::new("told_to_move", "told to move", told as f64, Unit::Count),
        Fact::new("moved", "moved", moved as f64, Unit::Count).note(format!(
            "the last after {:.2} s",
            last.unwrap_or(0) as f64 / 1e6
        )),
        Fact::new(
            "without_socket",
            "ever without a live socket",
            without as f64,
            Unit::Count,
        )
        .note("goal: 0")
        .headline(),
        Fact::new(
            "handover_ms_max",
            "the longest that nothing could arrive",
            silenced.unwrap_or(0) as f64 / 1e3,
            Unit::Milliseconds,
        )
        .note("from the first socket's end to `resumed` on the second"),
    ];
    let planned = spread(
        done.journeys
            .iter()
            .filter_map(|journey| journey.move_at_us),
    );
    let dialled = spread(
        done.journeys
            .iter()
            .filter_map(|journey| journey.move_dialled_us),
    );
    for (key, name, spread) in [
        (
            "move_deviation_planned",
            "the plan, off from even by",
            planned,
        ),
        ("move_deviation", "the moves, off from even by", dialled),
    ] {
        if let Some(Spread {
            window_s,
            deviation_s,
        }) = spread
        {
            facts.push(
                Fact::new(key, name, deviation_s * 1e3, Unit::Milliseconds).note(format!(
                    "at most, {:.1} % of the {window_s:.2} s that they took",
                    100.0 * deviation_s / window_s.max(0.001)
                )),
            );
        }
    }
    facts
}

/// How far times are from an even spread between the first and the last.
#[derive(Debug, PartialEq)]
struct Spread {
    window_s: f64,
    deviation_s: f64,
}

fn spread(us: impl Iterator<Item = u64>) -> Option<Spread> {
    let mut seconds: Vec<f64> = us.map(|us| us as f64 / 1e6).collect();
    seconds.sort_by(f64::total_cmp);
    let (first, last) = (*seconds.first()?, *seconds.last()?);
    let step = (last - first) / (seconds.len().max(2) - 1) as f64;
    let deviations = seconds
        .iter()
        .enumerate()
        .map(|(index, at)| (at - first - step * index as f64).abs());
    Some(Spread {
        window_s: last - first,
        deviation_s: deviations.fold(0.0, f64::max),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d3_the_deviation_is_that_from_even_steps() {
        let even = spread([0, 1_000_000, 2_000_000, 3_000_000].into_iter());
        let expected = Spread {
            window_s: 3.0,
            deviation_s: 0.0,
        };
        assert_eq!(even, Some(expected));
        let uneven = spread([3_000_000, 0, 2_500_000, 2_000_000].into_iter()).unwrap();
        assert_eq!(uneven.deviation_s, 1.0);
        assert_eq!(spread([].into_iter()), None);
    }
}
