//! Something fills the disk under load: the reserve is given up, then writing fails, and goes on once there is
//! room, without a restart.

use std::{
    fs,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use tokio::task::LocalSet;

use super::{
    STUCK,
    invariants::{assert_holds, check, lost},
    load::Load,
    middle_and_most,
    mount::Mount,
    process::Process,
    report, skip, times,
};

const ROUNDS: usize = 5;

/// How soon writing goes on once there is room.
const RECOVERY_MAX: Duration = Duration::from_secs(2);

const SMALL: [&str; 6] =
    ["--disk-reserve", "512KiB", "--wal-autocheckpoint-pages", "50", "--journal-size-limit", "256KiB"];

/// Takes all the room there is.
fn fill(filler: &Path) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(filler).unwrap();
    for bytes in [4096, 1] {
        while file.write_all(&vec![0; bytes]).is_ok() {}
    }
}

/// Waits until the server's health under a name is as it should be; how long that took.
async fn until(server: &Process, name: &str, serving: bool, meanwhile: impl Fn()) -> Duration {
    let start = Instant::now();
    while server.is_serving(name).await != serving {
        assert!(start.elapsed() < STUCK, "it never says of `{name}`: {serving}");
        meanwhile();
    }
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_writing_only_when_the_reserve_is_used_up_and_only_until_there_is_room() {
    LocalSet::new().run_until(fill_again_and_again()).await;
}

async fn fill_again_and_again() {
    let (mut acknowledged, mut gone, mut recoveries, mut flips) = (0, 0, vec![], vec![]);
    let rounds = times(ROUNDS);
    for _ in 0..rounds {
        let folder = tempfile::tempdir().unwrap();
        let Some(_disk) = Mount::memory(folder.path(), "3m") else {
            return skip("a tmpfs can't be mounted here (it takes root), so a full disk isn't tried");
        };
        let (data, filler) = (folder.path().join("data"), folder.path().join("filler"));
        let server = Process::start(&data, &SMALL).await;
        let reserve = data.join("callgate.reserve");
        assert_eq!(fs::metadata(&reserve).unwrap().len(), 512 << 10);
        let load = Load::start(2, Duration::from_millis(300), &server);
        load.more(20).await;

        fill(&filler);
        server.line_with("the reserve was given up").await;
        assert!(!reserve.exists());
        load.more(5).await;
        until(&server, "disk_reserve", false, || ()).await;
        until(&server, "", true, || ()).await;

        fill(&filler);
        flips.push(until(&server, "", false, || fill(&filler)).await);
        assert_eq!(server.lines_with("the database can't be written").len(), 1, "said once");

        fs::remove_file(&filler).unwrap();
        let room = Instant::now();
        load.more(1).await;
        recoveries.push(room.elapsed());
        server.line_with("the database can be written again").await;
        server.line_with("the disk reserve is back").await;
        assert_eq!(fs::metadata(&reserve).unwrap().len(), 512 << 10);
        until(&server, "", true, || ()).await;
        until(&server, "disk_reserve", true, || ()).await;

        let history = load.finish().await;
        let found = check(&history, &data).await;
        acknowledged += history.acknowledged();
        gone += lost(&found);
        assert_holds(&history, &data).await;
        assert!(server.stop().await.success());
    }
    let slowest = recoveries.iter().max().copied().unwrap_or_default();
    let figures = [
        ("cycles", rounds.to_string()),
        ("acknowledged", acknowledged.to_string()),
        ("lost", gone.to_string()),
        ("recovery", middle_and_most(recoveries)),
        ("not-ready-after", middle_and_most(flips)),
    ];
    report("disk", &figures);
    assert!(slowest <= RECOVERY_MAX, "writing went on after {slowest:?}");
}
