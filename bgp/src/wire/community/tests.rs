use super::*;

fn same<T: FromStr<Err = ParseCommunityError> + fmt::Display>(text: &str) {
    assert_eq!(text.parse::<T>().map(|c| c.to_string()), Ok(text.to_owned()));
}

#[test]
fn text_and_value_are_inverse() {
    for text in ["65000:100", "0:0", "no-export", "graceful-shutdown", "blackhole", "65535:2"] {
        same::<Community>(text);
    }
    for text in ["0:0:0", "4200000000:1:2"] {
        same::<LargeCommunity>(text);
    }
    for text in [
        "rt:65000:4000000000",
        "rt:10.0.0.1:7",
        "rt:4200000000:1",
        "rt:65000L:1",
        "soo:65000:1",
        "0x4004fde847c35000",
    ] {
        same::<ExtendedCommunity>(text);
    }
}

#[test]
fn a_well_known_community_has_its_number_too() {
    assert_eq!("65535:65281".parse(), Ok(Community::NO_EXPORT));
    assert_eq!("65535:0".parse(), Ok(Community::GRACEFUL_SHUTDOWN));
}

#[test]
fn what_is_no_community_is_refused_with_an_example() {
    for text in ["", "1", "65536:1", "1:65536", "1:2:3", "+1:2", "1:-2", "no-such", ":"] {
        assert!(text.parse::<Community>().is_err(), "{text}");
    }
    for text in ["1:2", "1:2:3:4", "1:2:4294967296", "a:b:c"] {
        assert!(text.parse::<LargeCommunity>().is_err(), "{text}");
    }
    for text in ["rt:1", "rt:4200000000:65536", "xx:1:2", "0x12", "0x+123456789abcde", "rt:10.0.0.1:65536"] {
        assert!(text.parse::<ExtendedCommunity>().is_err(), "{text}");
    }
    let error = "1".parse::<Community>().unwrap_err().to_string();
    assert_eq!(error, "`1` is not a community; expected one such as 65000:100 or no-export");
}

#[test]
fn the_t_bit_decides_whether_an_extended_community_crosses_an_as_boundary() {
    assert!(ExtendedCommunity::route_target(65000, 1).unwrap().is_transitive());
    assert!(!"0x4004fde847c35000".parse::<ExtendedCommunity>().unwrap().is_transitive());
}
