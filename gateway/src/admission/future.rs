use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Sleep, sleep};
use tower::Service;

use super::{
    Applicant, Rejected,
    queue::{AdmissionPermit, Entry},
};

/// The time that a place is held: who attaches for longer waits for the store, or for a room that nobody runs at the
/// moment, and takes nothing of this gateway's cores.
const HOLDS: Duration = Duration::from_millis(500);

/// The answer of an [`Admission`](super::Admission).
pub(crate) struct ResponseFuture<S: Service<R>, R>(State<S, R>);

enum State<S: Service<R>, R> {
    /// It waits for its turn.
    Waiting {
        place: AdmissionPermit,
        request: R,
        service: S,
    },
    /// It is let in; its place counts until it is answered, or has waited for so long that it cannot be this
    /// gateway that it waits for.
    Admitted {
        place: Option<AdmissionPermit>,
        until: Pin<Box<Sleep>>,
        response: S::Future,
    },
    Refused {
        request: R,
        retry_ms: u64,
    },
    Closed(R),
    Done,
}

impl<S: Service<R>, R> ResponseFuture<S, R> {
    pub(super) fn new(entry: Entry, request: R, service: S) -> Self {
        ResponseFuture(match entry {
            Entry::Place(place) => State::Waiting {
                place,
                request,
                service,
            },
            Entry::Busy { retry_ms } => State::Refused { request, retry_ms },
            Entry::Closed => State::Closed(request),
        })
    }
}

// Nothing in it is pinned: the service's own future is not, either.
impl<S: Service<R>, R> Unpin for ResponseFuture<S, R> where S::Future: Unpin {}

impl<S, R> Future for ResponseFuture<S, R>
where
    S: Service<R>,
    S::Future: Unpin,
    R: Applicant,
{
    type Output = Result<S::Response, Rejected<R, S::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.0 {
                State::Waiting {
                    place,
                    request,
                    service,
                } => {
                    let admitted = match place.poll_admitted(cx) {
                        Poll::Ready(admitted) => admitted,
                        Poll::Pending => {
                            ready!(request.poll_gone(cx));
                            self.0 = State::Done;
                            return Poll::Ready(Err(Rejected::Gone));
                        }
                    };
                    if admitted {
                        ready!(service.poll_ready(cx)).map_err(Rejected::Inner)?;
                    }
                    self.step(admitted);
                }
                State::Admitted {
                    place,
                    until,
                    response,
                } => {
                    if let Poll::Ready(answer) = Pin::new(response).poll(cx) {
                        self.0 = State::Done;
                        return Poll::Ready(answer.map_err(Rejected::Inner));
                    }
                    if place.is_some() {
                        ready!(until.as_mut().poll(cx));
                        *place = None;
                    }
                    return Poll::Pending;
                }
                State::Refused { .. } | State::Closed(_) | State::Done => {
                    return Poll::Ready(Err(match mem::replace(&mut self.0, State::Done) {
                        State::Refused { request, retry_ms } => {
                            Rejected::Busy { request, retry_ms }
                        }
                        State::Closed(request) => Rejected::Closed(request),
                        State::Waiting { .. } | State::Admitted { .. } | State::Done => {
                            Rejected::Gone
                        }
                    }));
                }
            }
        }
    }
}

impl<S: Service<R>, R> ResponseFuture<S, R> {
    /// Its waiting is over.
    fn step(&mut self, admitted: bool) {
        if let State::Waiting {
            place,
            request,
            mut service,
        } = mem::replace(&mut self.0, State::Done)
        {
            self.0 = if admitted {
                let response = service.call(request);
                State::Admitted {
                    place: Some(place),
                    until: Box::pin(sleep(HOLDS)),
                    response,
                }
            } else {
                State::Closed(request)
            };
        }
    }
}
