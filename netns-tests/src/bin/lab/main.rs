//! x
fn main() {
    if std::env::args().nth(1).as_deref() == Some(petiole_netns_tests::holder::HOLDER_ARGUMENT) {
        std::process::exit(petiole_netns_tests::holder::run())
    }
}
