//! Sysctls: files below `/proc/sys`. Those of `net` are of the namespace that the opening thread is in.

use std::{
    fs::OpenOptions,
    io::{self, Read, Write},
    path::PathBuf,
    sync::Arc,
};

/// Reads a value, trimmed.
pub(super) fn read(name: &str) -> io::Result<Arc<str>> {
    let mut text = String::new();
    OpenOptions::new().read(true).open(path(name)?)?.read_to_string(&mut text)?;
    Ok(text.trim().into())
}

/// Whether there is such a one.
pub(super) fn exists(name: &str) -> bool {
    path(name).is_ok_and(|path| path.exists())
}

/// Writes a value, with one `write` as proc(5) asks.
pub(super) fn write(name: &str, value: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path(name)?)?;
    if file.write(value.as_bytes())? == value.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// The file of a sysctl named as for sysctl(8): if the first separator is a dot, dots separate, and a slash stands
/// for a dot in a link's name; else the name is the path as it is.
fn path(name: &str) -> io::Result<PathBuf> {
    let dotted = name.find(['.', '/']).is_some_and(|at| name.as_bytes().get(at) == Some(&b'.'));
    let relative: String = if dotted {
        name.chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect()
    } else {
        name.to_owned()
    };
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !relative.split('/').all(plain) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    Ok(PathBuf::from("/proc/sys").join(relative))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_sysctl_8_reads_them() {
        let path = |name| path(name).map(|p| p.display().to_string()).map_err(|e| e.raw_os_error());
        let rp_filter = Ok("/proc/sys/net/ipv4/conf/eth1.100/rp_filter".to_owned());
        assert_eq!(path("net/ipv4/conf/eth1.100/rp_filter"), rp_filter);
        assert_eq!(path("net.ipv4.conf.eth1/100.rp_filter"), rp_filter);
        for bad in ["", "/etc/passwd", "net/../../etc/passwd", "net//ipv4", "net.ipv4."] {
            assert_eq!(path(bad), Err(Some(libc::EINVAL)), "{bad}");
        }
    }
}
