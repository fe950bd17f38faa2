//! Whether there is room: bytes, files, and what the write-ahead log takes.

use std::{ffi::OsString, fs, path::Path};

use super::{Finding, database_file, quoted};

const SPACE: &str = "free space";
const INODES: &str = "free inodes";
const LOG: &str = "write-ahead log";
const RESERVE: &str = "reserve";

/// Below this nothing can be relied on, whatever the mark is.
const FREE_BYTES_LEAST: u64 = 16 * MIB;

/// How many files there should be room for.
const FREE_INODES_MIN: u64 = 1_000;

/// From this size on the log isn't being cut back: four times what it is cut back to.
const LOG_BYTES_MAX: u64 = 256 * MIB;

const MIB: u64 = 1024 * 1024;

/// Looks at the room of the folder's file system, and at what takes it.
pub(super) fn examine(folder: &Path, free_bytes_min: u64, findings: &mut Vec<Finding>) {
    match rustix::fs::statvfs(folder) {
        Ok(room) => {
            let free = room.f_bavail.saturating_mul(room.f_frsize);
            findings.push(bytes(folder, free, free_bytes_min));
            // A file system that makes files as it needs them counts none.
            if room.f_files > 0 {
                findings.push(inodes(folder, room.f_favail));
            }
        }
        Err(error) => {
            let found = format!("can't be told: {error}");
            findings.push(Finding::warn(SPACE, found, "look at it").run(format!("df -h {}", quoted(folder))));
        }
    }
    findings.push(log(folder));
    findings.extend(reserve(folder));
}

fn bytes(folder: &Path, free: u64, mark: u64) -> Finding {
    let found = format!("{} free", size(free));
    if free >= mark {
        return Finding::ok(SPACE, format!("{found}, the mark is {}", size(mark)));
    }
    let found = format!("{found}, below the mark of {}", size(mark));
    let what =
        "make room, or move the folder to a larger disk; a full disk stops decisions. What takes room here:";
    let command = format!("du -xh --max-depth=1 {}", quoted(folder));
    let finding = Finding::warn(SPACE, found.clone(), what).run(command.clone());
    if free < FREE_BYTES_LEAST { Finding::fail(SPACE, found, what).run(command) } else { finding }
}

fn inodes(folder: &Path, free: u64) -> Finding {
    if free >= FREE_INODES_MIN {
        return Finding::ok(INODES, format!("room for {free} files"));
    }
    let found = format!("room for {free} files only, below the mark of {FREE_INODES_MIN}");
    Finding::warn(INODES, found, "remove files that nobody needs from this file system")
        .run(format!("df -i {}", quoted(folder)))
}

fn log(folder: &Path) -> Finding {
    let mut name = OsString::from(database_file(folder));
    name.push("-wal");
    let bytes = fs::metadata(&name).map_or(0, |metadata| metadata.len());
    if bytes <= LOG_BYTES_MAX {
        return Finding::ok(LOG, size(bytes));
    }
    let found = format!("{}: it isn't cut back, because something reads for very long", size(bytes));
    Finding::warn(LOG, found, "end what reads the database besides the server, or start the server again")
        .run(format!("fuser -v {}", quoted(Path::new(&name))))
}

/// The file that is given up first when the disk is full; nothing is said where there is none.
fn reserve(folder: &Path) -> Option<Finding> {
    let metadata = fs::metadata(folder.join("callgate.reserve")).ok()?;
    Some(Finding::ok(RESERVE, format!("{} are kept for when the disk is full", size(metadata.len()))))
}

/// Bytes for people, rounded down.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match UNITS.iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => {
            let tenths = ((u128::from(bytes) * 10) >> shift) % 10;
            format!("{}.{tenths} {unit}", bytes >> shift)
        }
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::doctor::Level;

    #[test]
    fn sizes_are_rounded_down() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (10 * MIB - 1, "9.9 MiB"),
            (1024 * MIB, "1.0 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn little_room_is_told_and_no_room_is_a_failure() {
        let folder = Path::new("/data");
        let level = |free| bytes(folder, free, 1024 * MIB).level;
        assert_eq!(level(1024 * MIB), Level::Ok);
        assert_eq!(level(1024 * MIB - 1), Level::Warn);
        assert_eq!(level(FREE_BYTES_LEAST - 1), Level::Fail);
        assert_eq!(inodes(folder, FREE_INODES_MIN).level, Level::Ok);
        assert_eq!(inodes(folder, FREE_INODES_MIN - 1).level, Level::Warn);
    }

    #[test]
    fn a_log_that_is_not_cut_back_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(log(folder.path()).level, Level::Ok);
        let file = fs::File::create(folder.path().join("callgate.db-wal")).unwrap();
        file.set_len(LOG_BYTES_MAX).unwrap();
        assert_eq!(log(folder.path()).level, Level::Ok);
        file.set_len(LOG_BYTES_MAX + 1).unwrap();
        let finding = log(folder.path());
        assert_eq!(finding.level, Level::Warn);
        assert!(finding.fix.unwrap().command.unwrap().contains("callgate.db-wal"));
    }
}
