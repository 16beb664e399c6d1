//! One round trip for what many tasks ask at about the same time.
//!
//! A round trip costs Redis, the network and this process much the same, however much it carries. When a herd comes
//! back, thousands of tasks read, write and append a record's worth each; gathered, they go in a few. Who asks while
//! nothing is under way is sent at once, and waits for nobody. Otherwise the window is one turn of the scheduler and no
//! time by the clock: whoever is ready to ask gets to, and then it is sent. So the busier the process is, the more
//! goes along.
//!
//! On a Cluster everybody goes alone: of a slot that is being moved some keys are here and some there, and
//! each has an answer of its own (ASK, TRYAGAIN).

use std::{
    fmt::Debug,
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::{sync::oneshot, task::yield_now};

use super::nodes::Nodes;
use crate::StoreError;

/// The requests, and the bytes, of one round trip: Redis serves nobody else while it runs a script. One that is larger goes alone.
const AT_ONCE: usize = 32;
const BYTES_MAX: usize = 64 * 1024;

/// Something that can be asked for several times in one round trip.
pub(in crate::redis) trait Batch: Send + Sync + 'static {
    /// One request of a batch.
    type Ask: Debug + Send + Sync;
    /// The answer to one request.
    type Answer: Debug + Send;

    /// About how many bytes it sends.
    fn bytes(ask: &Self::Ask) -> usize;

    /// Asks for all of it, and answers each in its place. An error of the round trip is everybody's; what goes
    /// wrong with one is not the others' error.
    fn send(
        &self,
        asks: &[Self::Ask],
    ) -> impl Future<Output = Result<Answers<Self>, StoreError>> + Send;
}

/// An answer for each that asked, in the order in which they did.
pub(in crate::redis) type Answers<B> = Vec<Result<<B as Batch>::Answer, StoreError>>;

/// Puts what is asked at about the same time into one round trip. It holds no more than there are tasks that wait.
#[derive(Debug)]
pub(in crate::redis) struct Batcher<B: Batch> {
    batch: B,
    /// Round trips that are under way.
    trips: AtomicUsize,
    waiting: Mutex<Vec<Waiting<B>>>,
}

#[derive(Debug)]
struct Waiting<B: Batch> {
    ask: B::Ask,
    tell: oneshot::Sender<Result<B::Answer, StoreError>>,
}

/// A round trip that is under way.
struct InFlight<'a>(&'a AtomicUsize);

impl<B: Batch> Batcher<B> {
    pub(in crate::redis) fn new(batch: B) -> Arc<Self> {
        Arc::new(Batcher {
            batch,
            trips: AtomicUsize::new(0),
            waiting: Mutex::new(Vec::new()),
        })
    }

    /// Asks, along with others. Who gives up before it is sent has not asked.
    pub(in crate::redis) async fn ask(
        self: &Arc<Self>,
        ask: B::Ask,
    ) -> Result<B::Answer, StoreError> {
        if let Some(_trip) = InFlight::first(&self.trips) {
            // In a box, as it is large, and few go this way when there are many.
            return Box::pin(alone(&self.batch, ask)).await;
        }
        let (tell, answer) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting.lock();
            waiting.push(Waiting { ask, tell });
            waiting.len() == 1
        };
        if is_first {
            // A task of its own, so that who gives up takes nobody else along.
            tokio::spawn(self.clone().go());
        }
        let stopping = || StoreError::Unavailable("this process is stopping".into());
        answer.await.map_err(|_| stopping())?
    }

    async fn go(self: Arc<Self>) {
        yield_now().await;
        let room = Vec::with_capacity(AT_ONCE);
        let mut waiting = mem::replace(&mut *self.waiting.lock(), room);
        waiting.retain(|waiting| !waiting.tell.is_closed());
        while !waiting.is_empty() {
            let later = waiting.split_off(fits(&waiting));
            tokio::spawn(self.clone().send(waiting));
            waiting = later;
        }
    }

    async fn send(self: Arc<Self>, waiting: Vec<Waiting<B>>) {
        let _trip = InFlight::another(&self.trips);
        let (asks, tells): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .map(|Waiting { ask, tell }| (ask, tell))
            .unzip();
        // Whoever does not listen any more has given up.
        match all(&self.batch, &asks).await {
            Ok(answers) => {
                for (tell, answer) in tells.into_iter().zip(answers) {
                    let _ = tell.send(answer);
                }
            }
            Err(error) => {
                for tell in tells {
                    let _ = tell.send(Err(error.clone()));
                }
            }
        }
    }
}

/// Returns the number of them that go in one round trip: at least one.
fn fits<B: Batch>(waiting: &[Waiting<B>]) -> usize {
    let mut bytes = 0;
    let fit = waiting.iter().take(AT_ONCE).take_while(|one| {
        bytes += B::bytes(&one.ask);
        bytes <= BYTES_MAX
    });
    fit.count().max(1).min(waiting.len())
}

/// Asks for all of it, and has as many answers.
async fn all<B: Batch>(batch: &B, asks: &[B::Ask]) -> Result<Answers<B>, StoreError> {
    let answers = batch.send(asks).await?;
    if answers.len() != asks.len() {
        let (asked, answered) = (asks.len(), answers.len());
        let message = format!("{answered} answers to {asked} questions");
        return Err(StoreError::Unavailable(message));
    }
    Ok(answers)
}

/// Asks for one thing alone.
async fn alone<B: Batch>(batch: &B, ask: B::Ask) -> Result<B::Answer, StoreError> {
    let answers = all(batch, &[ask]).await?;
    let none = || StoreError::Unavailable("no answer".into());
    answers.into_iter().next().ok_or_else(none)?
}

impl<'a> InFlight<'a> {
    /// Begins one, if none is under way.
    fn first(trips: &'a AtomicUsize) -> Option<Self> {
        let begun = trips.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed);
        begun.is_ok().then(|| InFlight(trips))
    }

    fn another(trips: &'a AtomicUsize) -> Self {
        trips.fetch_add(1, Ordering::Relaxed);
        InFlight(trips)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The way of requests of one kind to Redis.
#[derive(Debug)]
pub(in crate::redis) enum NodeBatchers<B: Batch> {
    /// To one Redis: along with others.
    Together(Arc<Batcher<B>>),
    /// To the nodes of a Cluster.
    Alone(B),
}

impl<B: Batch> NodeBatchers<B> {
    pub(in crate::redis) fn new(batch: B, nodes: &Nodes) -> Self {
        match nodes {
            Nodes::One(_) => NodeBatchers::Together(Batcher::new(batch)),
            Nodes::Many(_) => NodeBatchers::Alone(batch),
        }
    }

    pub(in crate::redis) async fn ask(&self, ask: B::Ask) -> Result<B::Answer, StoreError> {
        match self {
            NodeBatchers::Together(gather) => gather.ask(ask).await,
            NodeBatchers::Alone(batch) => Box::pin(alone(batch, ask)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{future::join_all, poll};

    use super::*;

    /// Returns every number with itself, a turn later, and notes what went in one round trip.
    #[derive(Debug, Default)]
    struct Echo {
        trips: Mutex<Vec<Vec<u32>>>,
    }

    const UNLUCKY: u32 = 13_000;
    /// From here on each takes half a round trip.
    const LARGE: u32 = 100_000;

    impl Batch for Arc<Echo> {
        type Ask = u32;
        type Answer = u32;

        fn bytes(ask: &u32) -> usize {
            if *ask >= LARGE { BYTES_MAX / 2 } else { 4 }
        }

        async fn send(&self, asks: &[u32]) -> Result<Answers<Self>, StoreError> {
            self.trips.lock().push(asks.to_vec());
            yield_now().await;
            if asks.contains(&UNLUCKY) {
                return Err(StoreError::TooLate);
            }
            Ok(asks.iter().copied().map(Ok).collect())
        }
    }

    impl Echo {
        fn sizes(&self) -> Vec<usize> {
            self.trips.lock().iter().map(Vec::len).collect()
        }
    }

    fn gather() -> (Arc<Echo>, Arc<Batcher<Arc<Echo>>>) {
        let echo = Arc::new(Echo::default());
        (echo.clone(), Batcher::new(echo))
    }

    /// Asks for all of them in one turn.
    async fn ask_all(
        gather: &Arc<Batcher<Arc<Echo>>>,
        numbers: impl IntoIterator<Item = u32>,
    ) -> Vec<Result<u32, StoreError>> {
        let asks = numbers.into_iter().map(|number| gather.ask(number));
        let mut asks: Vec<_> = asks.map(Box::pin).collect();
        for ask in &mut asks {
            assert!(poll!(ask).is_pending());
        }
        join_all(asks).await
    }

    #[tokio::test]
    async fn what_is_asked_while_one_is_under_way_goes_in_one_round_trip() {
        let (echo, gather) = gather();
        let answers = ask_all(&gather, 0..20).await;
        assert_eq!(answers, (0..20).map(Ok).collect::<Vec<_>>());
        assert_eq!(echo.sizes(), [1, 19]);
    }

    #[tokio::test]
    async fn who_asks_alone_is_sent_at_once() {
        let (echo, gather) = gather();
        for number in 0..3 {
            let mut ask = Box::pin(gather.ask(number));
            assert!(poll!(&mut ask).is_pending());
            assert_eq!(echo.sizes().len(), number as usize + 1);
            assert_eq!(ask.await, Ok(number));
        }
    }

    #[tokio::test]
    async fn a_round_trip_carries_no_more_than_its_bound() {
        let (echo, gather) = gather();
        let many = 2 * AT_ONCE as u32 + 2;
        let answers = ask_all(&gather, 0..many).await;
        assert_eq!(answers, (0..many).map(Ok).collect::<Vec<_>>());
        let mut sizes = echo.sizes();
        sizes.sort_unstable();
        assert_eq!(sizes, [1, 1, AT_ONCE, AT_ONCE]);
    }

    #[tokio::test]
    async fn a_round_trip_carries_no_more_bytes_than_its_bound() {
        let (echo, gather) = gather();
        let asked = [0, 1, LARGE, LARGE, LARGE, 2, 3];
        assert_eq!(ask_all(&gather, asked).await, asked.map(Ok));
        let trips = [vec![0], vec![1, LARGE], vec![LARGE, LARGE], vec![2, 3]];
        assert_eq!(*echo.trips.lock(), trips);
    }

    #[tokio::test]
    async fn an_error_reaches_everybody_who_went_along_and_nobody_else() {
        let (_, gather) = gather();
        let unlucky = ask_all(&gather, [0, 1, UNLUCKY, 2]).await;
        let late = || Err(StoreError::TooLate);
        assert_eq!(unlucky, [Ok(0), late(), late(), late()]);
        assert_eq!(gather.ask(3).await, Ok(3));
    }

    #[tokio::test]
    async fn who_gives_up_takes_nobody_along() {
        let (echo, gather) = gather();
        let [mut first, mut second, mut third, mut fourth] =
            [1, 2, 3, 4].map(|number| Box::pin(gather.ask(number)));
        assert!(poll!(&mut first).is_pending());
        assert!(poll!(&mut second).is_pending());
        assert!(poll!(&mut third).is_pending());
        // One goes before its round trip is over, and one before it is sent.
        drop(first);
        drop(second);
        assert_eq!(third.await, Ok(3));
        assert!(poll!(&mut fourth).is_pending());
        assert_eq!(fourth.await, Ok(4));
        assert_eq!(*echo.trips.lock(), [[1], [3], [4]]);
    }
}
