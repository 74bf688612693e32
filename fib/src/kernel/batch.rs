//! Many requests in one `sendmsg`, and which operation each error belongs to.
//!
//! Only the last request asks for an acknowledgement: one per request would cost more than the request. Errors come
//! back anyway, with the sequence number of the request, and the kernel goes on with the next one.

use super::{
    channel::{Answer, Channel, reserve},
    codec::Writer,
    uapi::NLM_F_ACK,
};
use crate::model::{KernelError, OpResult};

/// The most requests in one `sendmsg`: the thread is away for their duration (about a millisecond for routes).
pub(super) const MAX_REQUESTS: usize = 256;
/// The most bytes, beyond which no further request is begun; well below a socket's default send buffer.
const MAX_BYTES: usize = 64 << 10;

/// Requests on their way to one socket.
#[derive(Debug, Default)]
pub(super) struct Batch {
    writer: Writer,
    first: u32,
    last_start: usize,
    /// The number of the operation that each request belongs to.
    operations: Vec<usize>,
}

impl Batch {
    /// Adds a request of operation number `operation`; `encode` writes it, with the sequence number given.
    pub(super) fn push(&mut self, operation: usize, encode: impl FnOnce(&mut Writer, u32)) {
        if self.operations.is_empty() {
            self.first = reserve(MAX_REQUESTS as u32);
        }
        self.last_start = self.writer.len();
        let seq = self.first.wrapping_add(self.operations.len() as u32);
        self.operations.push(operation);
        encode(&mut self.writer, seq);
    }

    /// Whether one more request would be too much.
    pub(super) fn is_full(&self) -> bool {
        self.operations.len() >= MAX_REQUESTS || self.writer.len() >= MAX_BYTES
    }

    /// Whether there is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Sends everything and notes failures in `results`, indexed by operation number.
    pub(super) fn send(&mut self, channel: &mut Channel, results: &mut [OpResult]) {
        if self.is_empty() {
            return;
        }
        self.writer.add_flags(self.last_start, NLM_F_ACK);
        let last = self.first.wrapping_add(self.operations.len() as u32 - 1);
        let (first, operations) = (self.first, &self.operations);
        let outcome = channel.exchange(self.writer.as_slice(), first, last, |seq, answer| {
            if let Answer::Refused(error) = answer
                && let Some(operation) = operations.get(seq.wrapping_sub(first) as usize)
            {
                note(results, *operation, error);
            }
        });
        if let Err(error) = outcome {
            // What the kernel did is unknown: to be told as failure, so that it is looked at again.
            for operation in operations {
                note(results, *operation, error.clone());
            }
        }
        self.writer.clear();
        self.operations.clear();
    }
}

fn note(results: &mut [OpResult], operation: usize, error: KernelError) {
    if let Some(result @ Ok(())) = results.get_mut(operation) {
        *result = Err(error);
    }
}
