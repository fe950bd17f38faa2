//! The server is killed under load, again and again. It proves recovery, not durability: what the kernel was
//! given survives its process.

use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use super::{Dice, invariants::assert_holds, load::Load, process::Process, sum_up, times};

const CYCLES: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_keeps_all_that_it_acknowledged() {
    LocalSet::new().run_until(kill_again_and_again()).await;
}

async fn kill_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let start = || Process::start(&data, &["--disk-reserve", "0"]);
    let mut server = start().await;
    let load = Load::start(8, Duration::ZERO, &server);
    let (cycles, mut dice, mut recoveries) = (times(CYCLES), Dice::new(7), vec![]);
    for cycle in 1..=cycles {
        load.more(1 + usize::try_from(dice.below(60)).unwrap()).await;
        server.kill();
        load.point_nowhere();
        let down = Instant::now();
        server = start().await;
        load.point_at(&server);
        load.more(1).await;
        recoveries.push(down.elapsed());
        if cycle % 50 == 0 {
            assert_holds(&load.history, &data).await;
        }
    }
    let history = sum_up("kill", load, recoveries, &data).await;
    assert!(server.stop().await.success());
    assert_holds(&history, &data).await;
}
