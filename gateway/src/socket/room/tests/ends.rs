//! What stands on both sides of a room in its tests: its feed, and the way to the client.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, sync::Arc};

use bytes::Bytes;
use outlast_protocol::{Codec, ServerFrame};

use crate::{
    hub::{Core, Cursor, Item, LogReader, Pulled},
    socket::room::deliver::Desk,
};

/// The feed of the room.
#[derive(Clone)]
pub(super) struct Window(pub(super) Rc<RefCell<Core>>);

impl LogReader for Window {
    fn set_member(&self, _: u32) {}

    fn pull(&self, cursor: &mut Cursor, take: impl FnMut(&Item) -> bool) -> Pulled {
        self.0.borrow_mut().pull(cursor, take)
    }

    fn bytes_ahead(&self, cursor: &Cursor, member: u32) -> Option<usize> {
        self.0.borrow().bytes_ahead(cursor, member)
    }

    fn shortcut_permit(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        Arc::new(tokio::sync::Semaphore::new(1))
            .try_acquire_owned()
            .ok()
    }

    fn shown_bytes(&self) -> Option<usize> {
        None
    }

    fn set_shown_bytes(&self, _: usize) {}

    fn signals(&self, _: &mut u64, _: Codec, _: impl FnMut(Bytes)) {}

    fn signals_end(&self) -> u64 {
        0
    }
}

/// What is on its way to the client.
#[derive(Default)]
pub(super) struct Frames(pub(super) VecDeque<ServerFrame>);

impl Desk for Frames {
    fn codec(&self) -> Codec {
        Codec::Json
    }

    fn unsent(&self) -> usize {
        0
    }

    fn send(&mut self, frame: &ServerFrame) {
        self.0.push_back(frame.clone());
    }

    fn send_encoded(&mut self, frame: Bytes) {
        // Behind the WebSocket's header.
        let text = if frame[1] & 127 < 126 {
            &frame[2..]
        } else {
            &frame[4..]
        };
        self.0.push_back(Codec::Json.decode_server(text).unwrap());
    }
}
