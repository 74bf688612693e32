//! From a stream of bytes to messages.

use std::io::{self, Read};

use crate::message::{HEADER, MAX_MESSAGE, kind};

/// Room for many messages, so that reading costs few system calls.
const ROOM: usize = 256 * 1024;

/// What was read, and how much of it has been handed out.
#[derive(Debug)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// A message: its kind, and what follows the header.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u8,
    pub(crate) body: &'a [u8],
}

impl Frames {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; ROOM], start: 0, end: 0 }
    }

    /// Reads once. The end of the stream is an error: no session ends while it is measured.
    pub(crate) fn fill(&mut self, from: &mut impl Read) -> io::Result<()> {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let room = self.bytes.get_mut(self.end..).unwrap_or_default();
        match from.read(room)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the speaker closed the session")),
            length => {
                self.end += length;
                Ok(())
            }
        }
    }

    /// The next message, if all of it is there. A NOTIFICATION is an error.
    pub(crate) fn next(&mut self) -> Result<Option<Message<'_>>, String> {
        let unread = self.bytes.get(self.start..self.end).unwrap_or_default();
        let Some((header, rest)) = unread.split_first_chunk::<HEADER>() else { return Ok(None) };
        let [marker @ .., high, low, kind] = header;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if marker != &[0xff; 16] || !(HEADER..=MAX_MESSAGE).contains(&length) {
            return Err(format!("the speaker sent something that is no BGP message: {header:02x?}"));
        }
        let Some(body) = rest.get(..length - HEADER) else { return Ok(None) };
        self.start += length;
        if *kind == kind::NOTIFICATION {
            return Err(format!("the speaker sent NOTIFICATION {body:?}"));
        }
        Ok(Some(Message { kind: *kind, body }))
    }
}
