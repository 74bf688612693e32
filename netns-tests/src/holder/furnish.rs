//! Furnishes a node: its own /proc, /sys, /run, a writable /etc and /var that nobody else sees, binds, settings.

use std::{
    ffi::CString,
    fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
};

use rustix::{
    mount::{
        MountFlags, MountPropagationFlags, mount, mount_bind, mount_bind_recursive, mount_change, mount_move,
        mount_remount,
    },
    thread::UnshareFlags,
};

use super::{NodeRequest, Step, step};
use crate::{sys, topology::Bind};

/// Where the lab's own things are, as seen in a node.
const LAB: &str = "lab";

/// Turns this process into the init of `node`; `folder` is the node's, in the lab's /run.
pub(super) fn furnish(node: &NodeRequest, folder: &Path) -> Step {
    let own = UnshareFlags::NEWNS | UnshareFlags::NEWNET | UnshareFlags::NEWUTS | UnshareFlags::NEWIPC;
    step("new namespaces", sys::unshare(own))?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    step("private mounts", mount_change("/", private))?;
    step("host name", fs::write("/proc/sys/kernel/hostname", &node.name))?;
    // Both show the namespaces of the process that mounts them.
    step("mounting /proc", mount("proc", "/proc", "proc", MountFlags::empty(), None))?;
    step("mounting /sys", mount("sysfs", "/sys", "sysfs", MountFlags::empty(), None))?;
    let run = step("/run", prepare_run(node, folder))?;
    let mut overlays = Overlays { layers: run.join(LAB).join("overlay"), done: Vec::new() };
    for folder in ["/etc", "/var"] {
        overlays.cover(Path::new(folder))?;
    }
    for bind in &node.binds {
        if !bind.target.starts_with("/run") {
            overlays.make_room(&bind.target)?;
        }
    }
    step("moving /run", mount_move(&run, "/run"))?;
    for bind in &node.binds {
        step(format!("bind {}", bind.target.display()), furnish_bind(bind))?;
    }
    for (key, value) in &node.sysctls {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        step(format!("sysctl {key}"), fs::write(path, value))?;
    }
    Ok(())
}

/// Makes the node's /run beside the lab's, so that the lab's can still be reached while it is filled.
fn prepare_run(node: &NodeRequest, folder: &Path) -> io::Result<PathBuf> {
    let run = folder.join("run");
    fs::create_dir(&run)?;
    mount("tmpfs", &run, "tmpfs", MountFlags::empty(), Some(c"mode=0755"))?;
    for name in ["netns", "lock", "frr", "bird", "lab/log", "lab/bin"] {
        fs::create_dir_all(run.join(name))?;
    }
    // FRR's daemons start as root and then drop to the user that their configuration folder belongs to.
    if let Ok(frr) = fs::metadata("/etc/frr") {
        chown(run.join("frr"), Some(frr.uid()), Some(frr.gid()))?;
    }
    mount_bind(folder.join("log"), run.join("lab/log"))?;
    for (name, program) in &node.programs {
        let target = run.join("lab/bin").join(name);
        fs::write(&target, "")?;
        mount_bind(program, &target)?;
    }
    Ok(run)
}

/// Folders of the system that the node may write to without anybody else seeing it.
struct Overlays {
    /// Where the written layers are.
    layers: PathBuf,
    done: Vec<PathBuf>,
}

impl Overlays {
    fn cover(&mut self, folder: &Path) -> Step {
        let layer = self.layers.join(self.done.len().to_string());
        let (upper, work) = (layer.join("upper"), layer.join("work"));
        let mounted = || -> io::Result<()> {
            fs::create_dir_all(&upper)?;
            fs::create_dir_all(&work)?;
            let lower = fs::metadata(folder)?;
            fs::set_permissions(&upper, lower.permissions())?;
            chown(&upper, Some(lower.uid()), Some(lower.gid()))?;
            let mut options = b"lowerdir=".to_vec();
            for (name, path) in [("", folder), (",upperdir=", &*upper), (",workdir=", &*work)] {
                options.extend_from_slice(name.as_bytes());
                for &byte in path.as_os_str().as_bytes() {
                    // overlayfs separates options by commas and lower layers by colons.
                    if matches!(byte, b',' | b':' | b'\\') {
                        options.push(b'\\');
                    }
                    options.push(byte);
                }
            }
            let options = CString::new(options)?;
            Ok(mount("overlay", folder, "overlay", MountFlags::empty(), Some(options.as_c_str()))?)
        };
        step(format!("overlay on {}", folder.display()), mounted())?;
        self.done.push(folder.to_owned());
        Ok(())
    }

    /// Lets `target` be created: covers the nearest folder that exists, unless a covered one is above it.
    fn make_room(&mut self, target: &Path) -> Step {
        if target.exists() || self.done.iter().any(|done| target.starts_with(done)) {
            return Ok(());
        }
        let Some(folder) = target.ancestors().skip(1).find(|folder| folder.is_dir()) else {
            return Err(format!("bind {}: no such path", target.display()));
        };
        if folder == Path::new("/") {
            return Err(format!(
                "bind {}: nothing can be created in /, choose a path below /etc, /var or /opt",
                target.display()
            ));
        }
        self.cover(folder)
    }
}

/// A folder is mounted; a file is copied, because a file that is a mount cannot be replaced by a rename, which is how
/// editors and configuration tools save, and because a node must not write into the repository that it came from.
fn furnish_bind(bind: &Bind) -> io::Result<()> {
    let source = fs::metadata(&bind.source)?;
    if source.is_file() {
        let parent = bind.target.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent)?;
        if bind.target.exists() {
            fs::remove_file(&bind.target)?;
        }
        fs::copy(&bind.source, &bind.target)?;
        // FRR reads its configuration after it has dropped its privileges: the copy belongs to whoever the folder does.
        let owner = fs::metadata(parent)?;
        chown(&bind.target, Some(owner.uid()), Some(owner.gid()))?;
        return fs::set_permissions(&bind.target, fs::Permissions::from_mode(source.mode() | 0o600));
    }
    if source.is_dir() {
        fs::create_dir_all(&bind.target)?;
    } else if !bind.target.exists() {
        fs::write(&bind.target, "")?;
    }
    mount_bind_recursive(&bind.source, &bind.target)?;
    if bind.read_only {
        mount_remount(&bind.target, MountFlags::BIND | MountFlags::RDONLY, c"")?;
    }
    Ok(())
}
