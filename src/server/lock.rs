//! Who holds the lock on a database, read from the kernel's table of locks and never by taking one.
//!
//! The table shows the processes of this machine, or of this container. A server in another container that
//! shares the folder isn't seen, so that nobody is listed doesn't prove that nobody is there.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

/// A process that holds the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its name, as it says itself; empty where that can't be read.
    pub name: String,
    /// Whether nobody else may have the database meanwhile: maintenance, and not a server.
    pub alone: bool,
}

/// The processes that hold a lock on this file, lowest id first; none where there is no such file.
///
/// # Errors
/// When the kernel's table can't be read.
///
/// Source: `proc_locks(5)`.
pub(super) fn holders(lock: &Path) -> io::Result<Vec<Holder>> {
    let file = match fs::metadata(lock) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        file => file?,
    };
    let table = fs::read_to_string("/proc/locks")?;
    let (major, minor) = (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
    let place = format!("{major:02x}:{minor:02x}:{}", file.ino());
    let mut found: Vec<Holder> = table.lines().filter_map(|line| holder(line, &place)).collect();
    found.sort_by_key(|holder| holder.pid);
    found.dedup_by_key(|holder| holder.pid);
    for holder in &mut found {
        let name = fs::read_to_string(format!("/proc/{}/comm", holder.pid)).unwrap_or_default();
        name.trim().clone_into(&mut holder.name);
    }
    Ok(found)
}

/// Reads a line such as `1: FLOCK  ADVISORY  READ  4711 fd:01:1310 0 EOF`; nothing for one of another file, of
/// another kind, or of a process that only waits.
fn holder(line: &str, place: &str) -> Option<Holder> {
    let mut words = line.split_whitespace().skip(1);
    if words.next()? != "FLOCK" || words.next()? != "ADVISORY" {
        return None;
    }
    let alone = words.next()? == "WRITE";
    let pid = words.next()?.parse().ok()?;
    (words.next()? == place).then(|| Holder { pid, name: String::new(), alone })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let line = "12: FLOCK  ADVISORY  READ  4711 fd:01:1310 0 EOF";
        let shared = holder(line, "fd:01:1310").unwrap();
        assert_eq!((shared.pid, shared.alone), (4711, false));
        assert!(holder(&line.replace("READ", "WRITE"), "fd:01:1310").unwrap().alone);
        for other in [
            "12: POSIX  ADVISORY  READ  4711 fd:01:1310 0 EOF",
            "12: -> FLOCK  ADVISORY  READ  4711 fd:01:1310 0 EOF",
            "12: FLOCK  ADVISORY  READ  4711 fd:01:1311 0 EOF",
            "",
        ] {
            assert_eq!(holder(other, "fd:01:1310"), None, "{other}");
        }
    }

    #[test]
    fn this_process_is_found_by_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert_eq!(holders(&path).unwrap(), []);
        let file = File::create(&path).unwrap();
        assert_eq!(holders(&path).unwrap(), []);
        file.lock_shared().unwrap();
        let found = holders(&path).unwrap();
        assert_eq!(
            found.iter().map(|holder| (holder.pid, holder.alone)).collect::<Vec<_>>(),
            [(std::process::id(), false)]
        );
        assert!(!found.first().unwrap().name.is_empty());
    }
}
