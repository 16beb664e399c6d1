use std::sync::Arc;

use tower::Layer;

use super::{Admission, Queue};

/// A [`Layer`] that puts a [`Queue`] before a service.
#[derive(Clone)]
pub(crate) struct AdmissionLayer {
    queue: Arc<Queue>,
}

impl AdmissionLayer {
    pub(crate) fn new(queue: Arc<Queue>) -> Self {
        AdmissionLayer { queue }
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admission<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Admission::new(inner, self.queue.clone())
    }
}
