//! The disk reserve: a file that keeps room, and is given up when the disk is full.
//!
//! What fills a disk is mostly something else, and nobody makes room within seconds. Until somebody does,
//! decisions go on in the room that the reserve gives back; the log says so at once and then each minute. It is
//! made again when there is plenty of room, by a task of its own: the writer only ever gives it up.
//!
//! The file is there, with all its blocks, or not at all; several servers on one data directory share it, and
//! each step is harmless when another did it already. It never takes the last room: none is made where it would
//! leave less free than it holds. A user's quota is no full disk here, for it can't be read.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::{
    fs::{FallocateFlags, fallocate, statvfs},
    io::Errno,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How often the free room is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often the log repeats that the reserve is gone.
const REPEAT: Duration = Duration::from_mins(1);

/// The disk counts as full when less than this part of the reserve is free.
const FULL_PART: u64 = 8;

/// What is written at a time where a file system can't allocate.
const CHUNK_BYTES: usize = 64 * 1024;

/// What `st_blocks` counts in, whatever the file system's own blocks are.
///
/// Source: stat(3type).
const BLOCK_BYTES: u64 = 512;

/// The reserve of one data directory.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
    /// Whether it was given up and is still gone.
    is_spent: AtomicBool,
    /// Held while it is made or removed, so that the two don't meet halfway.
    changing: Mutex<()>,
}

impl Reserve {
    /// The reserve beside this database; nothing is made yet.
    pub(super) fn beside(database: &Path, bytes: u64) -> Self {
        let path = database.with_extension("reserve");
        Self { path, bytes, is_spent: AtomicBool::new(false), changing: Mutex::default() }
    }

    /// Makes the reserve where there is plenty of room, and takes one away that isn't wanted.
    pub(super) async fn prepare(self: &Arc<Self>) {
        let outcome = if self.bytes == 0 { self.remove().map(|_| true) } else { self.made().await };
        match outcome {
            Ok(true) => {}
            Ok(false) => tracing::warn!(
                path = %self.path.display(),
                reserve_bytes = self.bytes,
                "too little room for the disk reserve: make room, or set a smaller `disk_reserve`"
            ),
            Err(fault) => {
                tracing::warn!(path = %self.path.display(), %fault, "the disk reserve can't be made");
            }
        }
    }

    /// Gives the reserve up if the disk is full.
    pub(super) fn relieve(&self) {
        if self.bytes == 0 || !self.free_bytes().is_ok_and(|free| free < self.bytes / FULL_PART) {
            return;
        }
        // While it is made nobody waits here: where there is no room that fails by itself, and gives all back.
        let _changing = match self.changing.try_lock() {
            Err(TryLockError::WouldBlock) => return,
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            Ok(held) => held,
        };
        match self.unlink() {
            Ok(true) => {
                self.is_spent.store(true, Ordering::Release);
                tracing::error!(
                    path = %self.path.display(),
                    reserve_bytes = self.bytes,
                    "the disk is full: the reserve was given up so that decisions go on; make room now"
                );
            }
            // Another process did it, or it is long gone.
            Ok(false) => self.is_spent.store(true, Ordering::Release),
            Err(fault) => {
                tracing::error!(path = %self.path.display(), %fault, "the disk is full, and the reserve can't be given up");
            }
        }
    }

    /// Whether the reserve was given up and there wasn't room for it since.
    pub(super) fn is_spent(&self) -> bool {
        self.is_spent.load(Ordering::Acquire)
    }

    /// Looks at the free room until `ending`: gives the reserve up before writes fail, and makes it again.
    pub(super) async fn tend(self: Arc<Self>, ending: CancellationToken) {
        if self.bytes == 0 {
            return;
        }
        let mut told = Instant::now();
        loop {
            tokio::select! {
                () = ending.cancelled() => return,
                () = sleep(INTERVAL) => {}
            }
            let was_spent = self.is_spent();
            self.relieve();
            if self.is_whole() || self.made().await.unwrap_or(false) {
                if self.is_spent.swap(false, Ordering::AcqRel) {
                    tracing::info!(path = %self.path.display(), "there is room again: the disk reserve is back");
                }
            } else if !was_spent {
                // Given up by another process, or never made: there is none either way.
                self.is_spent.store(true, Ordering::Release);
                told = Instant::now();
            } else if told.elapsed() >= REPEAT {
                told = Instant::now();
                tracing::error!(path = %self.path.display(), "the disk reserve is still given up; make room");
            }
        }
    }

    /// Whether the file is there in its whole length.
    fn is_whole(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|file| file.is_file() && file.len() == self.bytes)
    }

    /// Does what [`Self::make`] does on a thread that nobody else waits for: it may have to write every byte.
    async fn made(self: &Arc<Self>) -> io::Result<bool> {
        let reserve = Arc::clone(self);
        tokio::task::spawn_blocking(move || reserve.make()).await.map_err(io::Error::other)?
    }

    /// Makes the file, or makes it whole; false when that would leave too little room.
    fn make(&self) -> io::Result<bool> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let held = match fs::symlink_metadata(&self.path) {
            Ok(file) if file.is_file() => file.blocks().saturating_mul(BLOCK_BYTES).min(self.bytes),
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is no file; move it away")),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => 0,
            Err(fault) => return Err(fault),
        };
        let wanted = self.bytes.saturating_sub(held);
        if wanted > 0 && self.free_bytes()? < wanted.saturating_add(self.bytes) {
            return Ok(false);
        }
        let file =
            fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
        let made = file.set_len(self.bytes).and_then(|()| allocate(&file, self.bytes));
        if made.is_err() {
            drop(file);
            // Half a reserve would be taken for a whole one.
            fs::remove_file(&self.path)?;
        }
        made.map(|()| true)
    }

    /// Removes the file; false when there is none.
    fn remove(&self) -> io::Result<bool> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.unlink()
    }

    fn unlink(&self) -> io::Result<bool> {
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// What may still be written to the file system, by whoever runs this.
    fn free_bytes(&self) -> io::Result<u64> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let status = statvfs(folder.unwrap_or(Path::new(".")))?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }
}

/// Gives every byte of the file its room.
fn allocate(file: &fs::File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP) => write_zeros(file, bytes),
        allocated => Ok(allocated?),
    }
}

/// Does what [`allocate`] does where the file system doesn't.
fn write_zeros(mut file: &fs::File, bytes: u64) -> io::Result<()> {
    use io::Write as _;
    let zeros = vec![0; CHUNK_BYTES];
    let mut left = usize::try_from(bytes).map_err(io::Error::other)?;
    while left > 0 {
        let chunk = zeros.get(..left.min(CHUNK_BYTES)).unwrap_or(&zeros);
        file.write_all(chunk)?;
        left -= chunk.len();
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: u64 = 1024 * 1024;

    fn reserve(folder: &tempfile::TempDir, bytes: u64) -> Arc<Reserve> {
        Arc::new(Reserve::beside(&folder.path().join("callgate.db"), bytes))
    }

    fn file(reserve: &Reserve) -> Option<fs::Metadata> {
        fs::metadata(&reserve.path).ok()
    }

    #[tokio::test]
    async fn the_reserve_has_all_its_blocks_and_only_the_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = reserve(&folder, BYTES);
        reserve.prepare().await;
        let made = file(&reserve).unwrap();
        assert_eq!((made.len(), made.mode() & 0o777), (BYTES, 0o600));
        assert!(made.blocks() * BLOCK_BYTES >= BYTES, "it is sparse");
        assert!(reserve.is_whole() && !reserve.is_spent());
    }

    #[tokio::test]
    async fn the_file_follows_the_setting() {
        let folder = tempfile::tempdir().unwrap();
        for bytes in [BYTES, 2 * BYTES, BYTES / 2] {
            let reserve = reserve(&folder, bytes);
            reserve.prepare().await;
            assert_eq!(file(&reserve).unwrap().len(), bytes);
        }
        let none = reserve(&folder, 0);
        none.prepare().await;
        assert!(file(&none).is_none());
    }

    #[tokio::test]
    async fn it_never_takes_the_last_room() {
        let folder = tempfile::tempdir().unwrap();
        let free = reserve(&folder, 1).free_bytes().unwrap();
        let large = reserve(&folder, free / 4 * 3);
        large.prepare().await;
        assert!(file(&large).is_none(), "a quarter would be left");
    }

    #[tokio::test]
    async fn a_failed_write_on_a_disk_with_room_leaves_it() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = reserve(&folder, BYTES);
        reserve.prepare().await;
        reserve.relieve();
        assert!(reserve.is_whole() && !reserve.is_spent());
    }

    /// On one thread: were it made there, it would wait for itself.
    #[tokio::test]
    async fn while_it_is_made_neither_the_runtime_nor_a_failed_write_waits() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = reserve(&folder, u64::MAX);
        let held = reserve.changing.lock().unwrap();
        reserve.relieve();
        let meanwhile = async { drop(held) };
        tokio::join!(reserve.prepare(), meanwhile);
        assert!(!reserve.is_spent());
    }

    #[test]
    fn where_nothing_can_be_allocated_zeros_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zeros");
        let bytes = 3 * 65_536 / 2;
        write_zeros(&fs::File::create(&path).unwrap(), bytes).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), bytes);
    }
}
