//! User data: what the kernel keeps for us with rules and sets, as the `nft` program writes comments, so that it shows
//! them as such.

/// `NFTNL_UDATA_RULE_COMMENT`.
pub(super) const RULE_COMMENT: u8 = 0;
/// `NFTNL_UDATA_SET_COMMENT`.
pub(super) const SET_COMMENT: u8 = 7;

/// What our comments begin with. The number is to be raised when what a rule or set of the model means to the kernel
/// is written in another way: rules of the former way are then not taken for the same.
const PREFIX: &str = "petiole:1:";

/// User data that hold one comment of ours.
pub(super) fn write(kind: u8, text: &str) -> Vec<u8> {
    let mut bytes = vec![kind, (PREFIX.len() + text.len() + 1) as u8];
    bytes.extend_from_slice(PREFIX.as_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
    bytes
}

/// What tells the `nft` program in which order it finds a set's keys (`NFTNL_UDATA_SET_KEYBYTEORDER`, `enum
/// byteorder` of its datatype.h).
pub(super) fn byte_order(host: bool) -> [u8; 6] {
    let [a, b, c, d] = (if host { 1u32 } else { 2 }).to_ne_bytes();
    [0, 4, a, b, c, d]
}

/// The comment of ours in user data.
pub(super) fn read(kind: u8, userdata: &[u8]) -> Option<&str> {
    let mut rest = userdata;
    while let [found, length, tail @ ..] = rest {
        let value = tail.get(..usize::from(*length))?;
        if *found == kind {
            let text = std::str::from_utf8(value.strip_suffix(&[0])?).ok()?;
            return text.strip_prefix(PREFIX);
        }
        rest = tail.get(usize::from(*length)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_read_back_behind_other_data_and_somebody_elses_is_not_ours() {
        let mut data = vec![3, 2, 9, 9];
        data.extend(write(RULE_COMMENT, "00ff"));
        assert_eq!(read(RULE_COMMENT, &data), Some("00ff"));
        assert_eq!(read(SET_COMMENT, &data), None);
        assert_eq!(read(RULE_COMMENT, b"\x00\x03hi\x00"), None);
        for end in 0..data.len() {
            assert_eq!(read(RULE_COMMENT, &data[..end]), None);
        }
    }
}
