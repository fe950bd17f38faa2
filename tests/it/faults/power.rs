//! The power fails under load. The data directory is on an image in memory; the server is frozen, and what had
//! reached the image by then is all that is left: the next server starts on a copy of it. What only lay in the
//! kernel's cache is gone, as it would be.
//!
//! A control shows that a loss would be seen: a server whose log isn't synced, as with `synchronous=NORMAL`.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use tokio::task::LocalSet;

use super::{
    Dice,
    invariants::{assert_holds, check, lost},
    load::Load,
    mount::{Mount, is_done},
    process::Process,
    report, skip, sum_up, times,
};

const CYCLES: usize = 50;

/// Without a checkpoint, `synchronous=NORMAL` syncs nothing.
const NO_CHECKPOINT: [&str; 4] = ["--disk-reserve", "0", "--wal-autocheckpoint-pages", "1000000"];

/// Images in memory, each a copy of the one before.
struct Machine {
    /// Unmounted before its folder goes.
    disk: Option<Mount>,
    folder: tempfile::TempDir,
    booted: usize,
}

impl Machine {
    /// Makes an empty disk; nothing where that isn't allowed.
    fn new() -> Option<Self> {
        let memory = Path::new("/dev/shm");
        let folder = tempfile::tempdir_in(memory).ok()?;
        let mut machine = Self { disk: None, folder, booted: 0 };
        let image = std::fs::File::create(machine.image()).unwrap();
        image.set_len(64 << 20).unwrap();
        let made = is_done(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(machine.image()));
        machine.disk = Some(Mount::image(&machine.mounted(), &machine.image()).filter(|_| made)?);
        Some(machine)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join(format!("image{}", self.booted))
    }

    fn mounted(&self) -> PathBuf {
        self.folder.path().join(format!("disk{}", self.booted))
    }

    fn data(&self) -> PathBuf {
        self.mounted().join("data")
    }

    /// Fails the power under a server; what is left is mounted.
    fn fail(&mut self, server: Process) {
        server.freeze();
        let before = self.image();
        self.booted += 1;
        assert!(is_done(Command::new("cp").arg("--sparse=always").args([&before, &self.image()])));
        server.kill();
        self.disk = None;
        std::fs::remove_file(before).unwrap();
        self.disk = Some(Mount::image(&self.mounted(), &self.image()).expect("what is left can be mounted"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_failure_takes_nothing_that_was_acknowledged() {
    LocalSet::new().run_until(fail_again_and_again()).await;
}

async fn fail_again_and_again() {
    let Some(mut machine) = Machine::new() else {
        return skip("an image can't be mounted here (it takes root), so no power failure is tried");
    };
    let mut server = Process::start(&machine.data(), &["--disk-reserve", "0"]).await;
    let load = Load::start(8, Duration::ZERO, &server);
    let (cycles, mut dice, mut recoveries) = (times(CYCLES), Dice::new(11), vec![]);
    for cycle in 1..=cycles {
        load.more(50 + usize::try_from(dice.below(200)).unwrap()).await;
        load.point_nowhere();
        machine.fail(server);
        let down = Instant::now();
        server = Process::start(&machine.data(), &["--disk-reserve", "0"]).await;
        load.point_at(&server);
        load.more(1).await;
        recoveries.push(down.elapsed());
        if cycle % 10 == 0 {
            assert_holds(&load.history, &machine.data()).await;
        }
    }
    sum_up("power", load, recoveries, &machine.data()).await;
    assert!(server.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_not_synced_is_seen_to_lose_what_was_acknowledged() {
    LocalSet::new().run_until(fail_until_something_is_lost()).await;
}

async fn fail_until_something_is_lost() {
    let Some(mut machine) = Machine::new() else {
        return skip(
            "an image can't be mounted here (it takes root), so the control of power failures isn't run",
        );
    };
    let forgetful = machine.folder.path().join("unsynced.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/faults/unsynced.c");
    if !is_done(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&forgetful).arg(&source)) {
        return skip("there is no C compiler, so the control of power failures isn't run");
    }
    // The database is there, and safely, before anything is forgotten.
    assert!(Process::start(&machine.data(), &NO_CHECKPOINT).await.stop().await.success());
    let mut acknowledged = 0;
    for cycle in 1..=CYCLES {
        let variables = [("LD_PRELOAD", forgetful.as_path())];
        let server = Process::start_with(&machine.data(), &NO_CHECKPOINT, &variables).await;
        let load = Load::start(8, Duration::ZERO, &server);
        load.more(250).await;
        load.point_nowhere();
        machine.fail(server);
        let history = load.abandon().await;
        acknowledged += history.acknowledged();
        let lost = lost(&check(&history, &machine.data()).await);
        if lost > 0 {
            let figures = [
                ("cycles", cycle.to_string()),
                ("acknowledged", acknowledged.to_string()),
                ("lost", lost.to_string()),
            ];
            return report("power-control", &figures);
        }
    }
    panic!("{CYCLES} power failures took nothing from a log that isn't synced: the test is blind");
}
