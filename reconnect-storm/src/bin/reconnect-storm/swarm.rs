//! The clients: as many as there are to be, in this process or in several.

mod bare;
mod board;
mod child;
mod crowd;
mod latency;
mod mark;
mod member;
mod order;
mod timeline;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use self::order::Report;
pub(crate) use self::{
    child::serve as serve_child,
    crowd::CLIENTS_MAX,
    latency::Latencies,
    order::{Crowd, Done, Journey, Kind, Order, Sample},
    timeline::Timeline,
};

/// All clients, wherever they run. Dropping it lets them all go.
#[derive(Debug)]
pub(crate) struct Swarm {
    hands: Vec<Hand>,
    timeline: Arc<Mutex<Timeline>>,
}

/// One process's worth of clients.
#[derive(Debug)]
struct Hand {
    orders: mpsc::Sender<Order>,
    done: mpsc::Receiver<Result<Done, String>>,
    pid: u32,
}

/// How many orders or reports may be under way.
const UNDER_WAY_MAX: usize = 64;

impl Swarm {
    /// Nobody yet, in so many processes.
    pub(crate) fn start(processes: usize) -> anyhow::Result<Swarm> {
        let timeline = Arc::new(Mutex::new(Timeline::new(processes)));
        let mut hands = Vec::new();
        for hand in 0..processes {
            let (orders, orders_in) = mpsc::channel(UNDER_WAY_MAX);
            let (reports_out, mut reports) = mpsc::channel(UNDER_WAY_MAX);
            let pid = if processes == 1 {
                tokio::spawn(crowd::run(orders_in, reports_out));
                std::process::id()
            } else {
                child::start(orders_in, reports_out)?
            };
            let (done_out, done) = mpsc::channel(1);
            let timeline = timeline.clone();
            tokio::spawn(async move {
                while let Some(report) = reports.recv().await {
                    let done = match report {
                        Report::Sample(sample) => {
                            timeline.lock().add(hand, *sample);
                            continue;
                        }
                        Report::Done(done) => Ok(*done),
                        Report::Failed(error) => Err(error),
                    };
                    if done_out.send(done).await.is_err() {
                        break;
                    }
                }
            });
            hands.push(Hand { orders, done, pid });
        }
        Ok(Swarm { hands, timeline })
    }

    /// A crowd comes, each process taking its part of the clients and of the rooms.
    pub(crate) async fn arrive(&mut self, crowd: Crowd) -> anyhow::Result<()> {
        let parts = self.hands.len() as u32;
        let share = |all: u32, part: u32| all * part / parts..all * (part + 1) / parts;
        let orders = (0..parts).map(|part| {
            let (clients, rooms) = (share(crowd.clients, part), share(crowd.rooms, part));
            Order::Arrive(Crowd {
                first: crowd.first + clients.start,
                clients: clients.len() as u32,
                first_room: crowd.first_room + rooms.start,
                rooms: rooms.len() as u32,
                ..crowd.clone()
            })
        });
        self.obey(orders.collect()).await.map(drop)
    }

    /// Everybody is told the same.
    pub(crate) async fn all(&mut self, order: Order) -> anyhow::Result<Done> {
        let parts = self.hands.len();
        let order = match order {
            Order::Act { per_s, text_bytes } => Order::Act {
                per_s: per_s / parts as f64,
                text_bytes,
            },
            Order::Arrive(_)
            | Order::Storm
            | Order::Cut
            | Order::Read { .. }
            | Order::Settle { .. } => order,
        };
        self.obey(vec![order; parts]).await
    }

    /// Ends the run; answers what became of everybody.
    pub(crate) async fn settle(&mut self, within: Duration) -> anyhow::Result<Done> {
        let within_ms = within.as_millis() as u64;
        self.all(Order::Settle { within_ms }).await
    }

    /// What has been seen so far.
    pub(crate) fn timeline(&self) -> Arc<Mutex<Timeline>> {
        self.timeline.clone()
    }

    /// The processes that the clients run in.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.hands.iter().map(|hand| hand.pid).collect()
    }

    async fn obey(&mut self, orders: Vec<Order>) -> anyhow::Result<Done> {
        for (hand, order) in self.hands.iter().zip(orders) {
            let sent = hand.orders.send(order).await;
            sent.context("a process of the swarm is gone")?;
        }
        let mut all = Done::default();
        for hand in &mut self.hands {
            let done = hand.done.recv().await;
            match done.context("a process of the swarm is gone")? {
                Ok(done) => {
                    all.journeys.extend(done.journeys);
                    all.verdict.add(done.verdict);
                }
                Err(error) => bail!(error),
            }
        }
        Ok(all)
    }
}
