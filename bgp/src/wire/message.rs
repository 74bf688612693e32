//! The five message types (RFC 4271 section 4, RFC 2918): which decoder a message goes to.

use super::header::{self, HEADER_LEN};
use super::iana::{error_code, header_error, message_type, route_refresh_error};
use super::{Notification, Open, RouteRefresh, Session, UnknownRouteRefresh, Update};

/// One message. Borrows the frame for the prefixes of an UPDATE.
#[derive(Clone, Debug)]
pub enum Message<'a> {
    /// RFC 4271 section 4.2.
    Open(Open),
    /// RFC 4271 section 4.3.
    Update(Update<'a>),
    /// RFC 4271 section 4.5.
    Notification(Notification),
    /// RFC 4271 section 4.4.
    Keepalive,
    /// RFC 2918, RFC 7313.
    RouteRefresh(RouteRefresh),
    /// To be ignored.
    UnknownRouteRefresh(UnknownRouteRefresh),
}

impl<'a> Message<'a> {
    /// Decodes one message that [`frame`](super::frame) has found.
    ///
    /// An error is what to send before the session is closed. An UPDATE whose errors have milder consequences
    /// (RFC 7606) is no error: it says itself what to do.
    #[inline]
    pub fn decode(frame: &'a [u8], session: &Session) -> Result<Self, Notification> {
        let (kind, body) = header::split(frame, session.max_message_len())?;
        Ok(match kind {
            message_type::UPDATE => Self::Update(Update::decode(body, *session)?),
            message_type::KEEPALIVE => Self::Keepalive,
            message_type::OPEN => Self::Open(Open::decode(body)?),
            message_type::NOTIFICATION => Self::Notification(Notification::decode(body)),
            message_type::ROUTE_REFRESH => match <[u8; 4]>::try_from(body).map(RouteRefresh::decode) {
                Ok(Ok(refresh)) => Self::RouteRefresh(refresh),
                Ok(Err(unknown)) => Self::UnknownRouteRefresh(unknown),
                Err(_) => {
                    let subcode = route_refresh_error::INVALID_MESSAGE_LENGTH;
                    return Err(Notification::new(error_code::ROUTE_REFRESH, subcode, frame));
                }
            },
            _ => {
                let subcode = header_error::BAD_MESSAGE_TYPE;
                return Err(Notification::new(error_code::MESSAGE_HEADER, subcode, &[kind]));
            }
        })
    }

    /// The IANA message type of `frame`, for a Finite State Machine Error's data.
    pub fn type_of(frame: &[u8]) -> Option<u8> {
        frame.get(HEADER_LEN - 1).copied()
    }
}
