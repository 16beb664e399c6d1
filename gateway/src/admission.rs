//! Admission (D1): who may attach, and when.
//!
//! [`AdmissionLayer`] wraps the service that attaches sockets. What wants in waits in the bounded
//! [`Queue`], which lets it on at a set rate, and never more at once than the gateway bears. What finds no
//! place is [`Rejected::Busy`], with a slot from the queue's own [`schedule`] to come back at.

use std::task::{Context, Poll};

use tower::Service;

mod error;
mod future;
mod layer;
mod queue;
mod schedule;

pub(crate) use self::{
    error::Rejected,
    future::ResponseFuture,
    layer::AdmissionLayer,
    queue::Queue,
    schedule::{Limits, Rank},
};
use std::sync::Arc;

/// A [`Service`] that lets requests through at a set rate, the most urgent first.
#[derive(Clone)]
pub(crate) struct Admission<S> {
    inner: S,
    queue: Arc<Queue>,
}

/// What wants to be admitted.
pub(crate) trait Applicant {
    /// The rank, by which it is let in.
    fn rank(&self) -> Rank;
    /// The name that it gives itself, before anything has been checked: the same for every try of the same client.
    /// Nobody is known by the absence of a name.
    fn name(&self) -> Option<&str>;
    /// The memory that it takes while it waits, in bytes.
    fn bytes(&self) -> usize;
    /// Ready when it does not wait any more.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

impl<S> Admission<S> {
    fn new(inner: S, queue: Arc<Queue>) -> Self {
        Admission { inner, queue }
    }
}

impl<S, R> Service<R> for Admission<S>
where
    S: Service<R> + Clone,
    S::Future: Unpin,
    R: Applicant,
{
    type Response = S::Response;
    type Error = Rejected<R, S::Error>;
    type Future = ResponseFuture<S, R>;

    /// Always ready: whether there is a place depends on who asks.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let entry = self
            .queue
            .enter(request.rank(), request.name(), request.bytes());
        ResponseFuture::new(entry, request, self.inner.clone())
    }
}
