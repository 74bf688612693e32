use super::*;

fn path(text: &str) -> AsPath {
    text.parse().unwrap()
}

#[test]
fn text_and_value_are_inverse() {
    for text in
        ["", "500", "500 65002", "500 65002 {1,2}", "(65100 65101) 500 {4200000000}", "[1,2] 3", "{1} {2}"]
    {
        assert_eq!(path(text).to_string(), text);
    }
}

#[test]
fn what_is_no_path_is_refused() {
    for text in ["x", "1 -2", "{1", "1}", "{}", "()", "4294967296", "1 {2)", "+1 x"] {
        assert!(text.parse::<AsPath>().is_err(), "{text}");
    }
}

#[test]
fn length_counts_a_set_once_and_confederations_never() {
    assert_eq!(path("1 2 3").len(), 3);
    assert_eq!(path("1 2 {3,4,5}").len(), 3);
    assert_eq!(path("(7 8) [9] 1 {3,4}").len(), 2);
    assert_eq!(path("").len(), 0);
}

#[test]
fn neighbor_and_origin_are_only_known_from_sequences() {
    assert_eq!(path("500 65002").neighbor_as(), Some(500));
    assert_eq!(path("500 65002").origin_as(), Some(65002));
    assert_eq!(path("(65100) 500").neighbor_as(), Some(500));
    assert_eq!(path("{1,2} 3").neighbor_as(), None);
    assert_eq!(path("3 {1,2}").origin_as(), None);
    assert_eq!(path("").neighbor_as(), None);
}

#[test]
fn own_as_is_counted_in_every_segment() {
    let p = path("65002 500 {65002,7} 65002");
    assert_eq!(p.count(65002), 3);
    assert!(p.contains(7) && !p.contains(8));
}

#[test]
fn prepending_joins_a_sequence_and_precedes_a_set() {
    let mut p = path("500 {1,2}");
    p.prepend(65002, 2);
    assert_eq!(p.to_string(), "65002 65002 500 {1,2}");
    assert_eq!(p.segments().count(), 2);

    let mut p = path("{1,2}");
    p.prepend(9, 1);
    assert_eq!((p.to_string().as_str(), p.segments().count()), ("9 {1,2}", 2));

    let mut p = path("");
    p.prepend(9, 0);
    assert!(p.is_empty());

    let mut p = path("4 5 (6)");
    p.prepend(9, 0);
    assert_eq!(p, path("4 5 (6)"));
}

#[test]
fn a_full_segment_is_not_overfilled() {
    let mut p = AsPath::from_sequence(&[7; 255]);
    p.prepend(9, 1);
    let counts: Vec<_> = p.segments().map(|s| s.count()).collect();
    assert_eq!(counts, [1, 255]);
    assert_eq!((p.len(), p.neighbor_as()), (256, Some(9)));

    p.prepend(8, 600);
    assert_eq!((p.len(), p.neighbor_as(), p.count(8)), (856, Some(8), 600));
}

#[test]
fn long_segments_are_split_and_empty_ones_left_out() {
    let long: Vec<u32> = (1..=300).collect();
    let p = AsPath::from_segments([(SegmentKind::Set, &[][..]), (SegmentKind::Sequence, &long)]);
    assert_eq!(p.segments().map(|s| s.count()).collect::<Vec<_>>(), [255, 45]);
    assert!(p.asns().eq(1..=300));
}
