//! The message header (RFC 4271 section 4.1): finding messages in a stream, and writing them into one.
//!
//! Knows marker, length and type. Must not know what a message says.

use bytes::BufMut;

use super::iana::{error_code, header_error, message_type, route_refresh_error};
use super::notification::Notification;

/// Octets of the header.
pub const HEADER_LEN: usize = 19;
/// The longest message of RFC 4271; of OPEN and KEEPALIVE always (RFC 8654 section 4).
pub const MAX_MESSAGE_LEN: usize = 4096;
/// The longest message where both sides announced RFC 8654.
pub const MAX_EXTENDED_MESSAGE_LEN: usize = 65535;

const MARKER: [u8; 16] = [0xFF; 16];

/// What messages are written into: `Vec<u8>`, `BytesMut`. Writers only append.
pub trait Output: BufMut + AsMut<[u8]> {}

impl<T: BufMut + AsMut<[u8]>> Output for T {}

/// Looks for a message at the head of `buf`: its length in octets, header included, once all of it is there; `None`
/// while octets are missing. What cannot become a message is refused as soon as it shows (RFC 4271 section 6.1).
///
/// `max_len` is [`MAX_MESSAGE_LEN`], or [`MAX_EXTENDED_MESSAGE_LEN`] where this side has announced RFC 8654.
#[inline]
pub fn frame(buf: &[u8], max_len: usize) -> Result<Option<usize>, Notification> {
    let marker = buf.get(..MARKER.len()).unwrap_or(buf);
    if !MARKER.starts_with(marker) {
        return Err(header_notification(header_error::CONNECTION_NOT_SYNCHRONIZED, &[]));
    }
    let Some(&[high, low, kind]) = buf.get(16..HEADER_LEN) else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes([high, low]));
    let allowed = match kind {
        message_type::OPEN => 29..=MAX_MESSAGE_LEN,
        message_type::UPDATE => 23..=max_len,
        message_type::NOTIFICATION => 21..=max_len,
        message_type::KEEPALIVE => HEADER_LEN..=HEADER_LEN,
        message_type::ROUTE_REFRESH => HEADER_LEN..=max_len,
        _ if (HEADER_LEN..=max_len).contains(&len) => {
            return Err(header_notification(header_error::BAD_MESSAGE_TYPE, &[kind]));
        }
        _ => HEADER_LEN..=max_len,
    };
    if !allowed.contains(&len) {
        return Err(header_notification(header_error::BAD_MESSAGE_LENGTH, &[high, low]));
    }
    let message = buf.get(..len);
    match message {
        // RFC 7313 section 5 asks for the complete message as data: so only when it is complete.
        Some(message) if kind == message_type::ROUTE_REFRESH && len != HEADER_LEN + 4 => {
            Err(Notification::new(
                error_code::ROUTE_REFRESH,
                route_refresh_error::INVALID_MESSAGE_LENGTH,
                message,
            ))
        }
        _ => Ok(message.map(<[u8]>::len)),
    }
}

/// The type and the body of a message that `frame` has found.
pub(super) fn split(frame: &[u8], max_len: usize) -> Result<(u8, &[u8]), Notification> {
    // Checked again, for a caller that cut the message out by itself must not make the decoder misread.
    match (self::frame(frame, max_len)?, frame.get(18), frame.get(HEADER_LEN..)) {
        (Some(len), Some(kind), Some(body)) if len == frame.len() => Ok((*kind, body)),
        _ => {
            let claimed = frame.get(16..18).unwrap_or(&[]);
            Err(header_notification(header_error::BAD_MESSAGE_LENGTH, claimed))
        }
    }
}

fn header_notification(subcode: u8, data: &[u8]) -> Notification {
    Notification::new(error_code::MESSAGE_HEADER, subcode, data)
}

/// Appends a header whose length [`finish`] fills in. Returns where the message starts.
#[inline]
pub(super) fn start(out: &mut impl Output, kind: u8) -> usize {
    let start = out.as_mut().len();
    let mut header = [0xFF; HEADER_LEN];
    [header[16], header[17], header[18]] = [0, 0, kind];
    out.put_slice(&header);
    start
}

/// Fills in the length of the message that begins at `start` and ends where `out` does.
#[inline]
pub(super) fn finish(out: &mut impl Output, start: usize) {
    let len = out.as_mut().len() - start;
    debug_assert!(len <= MAX_EXTENDED_MESSAGE_LEN, "message of {len} octets");
    patch_u16(out, start + 16, len);
}

/// Overwrites two octets at `at`, which have been written before, with `value`.
#[inline]
pub(super) fn patch_u16(out: &mut impl Output, at: usize, value: usize) {
    if let Some(place) = out.as_mut().get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = (value as u16).to_be_bytes();
    }
}

/// Appends a KEEPALIVE (RFC 4271 section 4.4).
pub fn encode_keepalive(out: &mut impl Output) {
    let start = start(out, message_type::KEEPALIVE);
    finish(out, start);
}

#[cfg(test)]
mod tests;
