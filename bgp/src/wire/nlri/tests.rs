use proptest::prelude::*;

use super::*;

fn v4(list: &[u8]) -> Vec<String> {
    assert!(is_valid::<Ipv4Net>(list));
    Prefixes::<Ipv4Net>::new([list, &[], &[], &[]]).map(|prefix| prefix.to_string()).collect()
}

fn v6(list: &[u8]) -> Vec<String> {
    assert!(is_valid::<Ipv6Net>(list));
    Prefixes::<Ipv6Net>::new([list, &[], &[], &[]]).map(|prefix| prefix.to_string()).collect()
}

fn written<P: Prefix>(prefixes: &[P], room: usize) -> (Vec<u8>, usize) {
    let mut left = prefixes.iter().copied();
    let mut out = Vec::new();
    let first = left.next().unwrap();
    let count = write(&mut out, room, first, &mut left);
    assert_eq!(count, prefixes.len() - left.count());
    (out, count)
}

#[test]
fn every_size_is_read() {
    let list = [
        0, 8, 10, 9, 10, 0x80, 16, 10, 1, 17, 10, 1, 0x80, 24, 10, 1, 2, 25, 10, 1, 2, 0x80, 32, 10, 1, 2, 3,
    ];
    let expected = [
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.128.0.0/9",
        "10.1.0.0/16",
        "10.1.128.0/17",
        "10.1.2.0/24",
        "10.1.2.128/25",
        "10.1.2.3/32",
    ];
    assert_eq!(v4(&list), expected);
    let list = [0, 32, 0x20, 1, 0xd, 0xb8, 3, 0xE0];
    assert_eq!(v6(&list), ["::/0", "2001:db8::/32", "e000::/3"]);
    let mut host = vec![128];
    host.extend_from_slice(&[0xFE; 16]);
    assert_eq!(v6(&host), ["fefe:fefe:fefe:fefe:fefe:fefe:fefe:fefe/128"]);
}

/// RFC 4271 section 4.3: the value of trailing bits is irrelevant.
#[test]
fn bits_beyond_the_length_do_not_count() {
    assert_eq!(v4(&[20, 10, 1, 0xFF]), ["10.1.240.0/20"]);
    assert_eq!(v4(&[1, 0xFF]), ["128.0.0.0/1"]);
    assert_eq!(v6(&[33, 0x20, 1, 0xd, 0xb8, 0xFF]), ["2001:db8:8000::/33"]);
}

/// RFC 7606 section 5.3.
#[test]
fn a_list_is_wrong_when_a_length_is_too_great_or_a_prefix_cut_off() {
    for list in [&[33, 1, 2, 3, 4, 5][..], &[255], &[8], &[32, 1, 2, 3], &[24, 1, 2, 3, 16, 1], &[17, 1, 2]] {
        assert!(!is_valid::<Ipv4Net>(list), "{list:?}");
    }
    for list in [&[129][..], &[64, 1, 2, 3, 4, 5, 6, 7], &[33, 1, 2, 3, 4]] {
        assert!(!is_valid::<Ipv6Net>(list), "{list:?}");
    }
    let mut beyond = vec![129];
    beyond.extend_from_slice(&[0; 17]);
    assert!(!is_valid::<Ipv6Net>(&beyond));
}

#[test]
fn several_lists_are_one_after_the_other() {
    let lists: [&[u8]; 4] = [&[], &[8, 1], &[], &[8, 2, 8, 3]];
    let prefixes: Vec<_> = Prefixes::<Ipv4Net>::new(lists).map(|p| p.to_string()).collect();
    assert_eq!(prefixes, ["1.0.0.0/8", "2.0.0.0/8", "3.0.0.0/8"]);
    assert_eq!(Prefixes::<Ipv4Net>::new([&[]; 4]).next(), None);
}

#[test]
fn writing_stops_before_the_room_ends() {
    let hosts: Vec<Ipv4Net> = (0..2000).map(|i| Ipv4Net::from(Ipv4Addr::from_bits(i))).collect();
    for room in [5, 6, 9, 10, 11, 500, 512, 520, 4000, 9999, 10_000, 20_000] {
        let (out, count) = written(&hosts, room);
        assert_eq!(count, (room / 5).min(2000), "room of {room}");
        assert!(out.len() <= room);
    }
    let default: Ipv4Net = "0.0.0.0/0".parse().unwrap();
    assert_eq!(written(&[default, default], 5), (vec![0], 1), "room for a longest prefix is kept");
}

#[test]
fn a_multicast_prefix_is_no_unicast_destination() {
    for (prefix, unicast) in [
        ("0.0.0.0/0", true),
        ("10.0.0.0/8", true),
        ("224.0.0.0/4", false),
        ("239.1.2.3/32", false),
        ("224.0.0.0/3", true),
    ] {
        assert_eq!(prefix.parse::<Ipv4Net>().unwrap().is_unicast(), unicast, "{prefix}");
    }
    for (prefix, unicast) in
        [("::/0", true), ("2001:db8::/32", true), ("ff00::/8", false), ("ff02::1/128", false)]
    {
        assert_eq!(prefix.parse::<Ipv6Net>().unwrap().is_unicast(), unicast, "{prefix}");
    }
}

fn any_v4() -> impl Strategy<Value = Ipv4Net> {
    (any::<u32>(), 0..=32u8).prop_map(|(bits, len)| Ipv4Net::new_assert(bits.into(), len))
}

fn any_v6() -> impl Strategy<Value = Ipv6Net> {
    (any::<u128>(), 0..=128u8).prop_map(|(bits, len)| Ipv6Net::new_assert(bits.into(), len))
}

proptest! {
    #[test]
    fn what_is_written_is_read_v4(prefixes in prop::collection::vec(any_v4(), 1..400)) {
        let (out, count) = written(&prefixes, usize::MAX);
        prop_assert_eq!(count, prefixes.len());
        prop_assert!(is_valid::<Ipv4Net>(&out));
        let read = Prefixes::<Ipv4Net>::new([&out, &[], &[], &[]]);
        prop_assert!(read.eq(prefixes.iter().map(Ipv4Net::trunc)));
    }

    #[test]
    fn what_is_written_is_read_v6(prefixes in prop::collection::vec(any_v6(), 1..200)) {
        let (out, count) = written(&prefixes, usize::MAX);
        prop_assert_eq!(count, prefixes.len());
        prop_assert!(is_valid::<Ipv6Net>(&out));
        let read = Prefixes::<Ipv6Net>::new([&out, &[], &[], &[]]);
        prop_assert!(read.eq(prefixes.iter().map(Ipv6Net::trunc)));
    }

    /// The iterator gives up silently at what is not valid: so whatever is valid must be read to its end.
    #[test]
    fn a_valid_list_is_read_to_its_end(list in prop::collection::vec(any::<u8>(), 0..60)) {
        if is_valid::<Ipv4Net>(&list) {
            let octets: usize = Prefixes::<Ipv4Net>::new([&list, &[], &[], &[]])
                .map(|prefix| 1 + octets(prefix.prefix_len()))
                .sum();
            prop_assert_eq!(octets, list.len());
        }
        if is_valid::<Ipv6Net>(&list) {
            let octets: usize = Prefixes::<Ipv6Net>::new([&list, &[], &[], &[]])
                .map(|prefix| 1 + octets(prefix.prefix_len()))
                .sum();
            prop_assert_eq!(octets, list.len());
        }
    }
}
