//! NOTIFICATION (RFC 4271 section 4.5) and its codes.

/// A NOTIFICATION message: why a session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// IANA "BGP Error (Notification) Codes".
    pub code: u8,
    /// The subcode within the code's registry.
    pub subcode: u8,
    /// What the RFC asks for with this code and subcode.
    pub data: Vec<u8>,
}
