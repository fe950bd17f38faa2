//! The machine that is measured on: no figure means anything without it.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
    process::Command,
    time::Instant,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{
    options::Options,
    samples::{Samples, float, us},
};

/// What the log's writer appends at a time: a page.
const PAGE: [u8; 4096] = [0x5a; 4096];

/// What was measured on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// The processor.
    pub cpu: String,
    /// How many processors this process may use.
    pub cores: u64,
    /// All memory.
    pub memory_gib: f64,
    /// The version of Linux.
    pub kernel: String,
    /// What the data directories lie on.
    pub file_system: String,
    /// As the kernel tells it, at the start.
    pub load_average: String,
    /// What it takes to make a page durable, at the start.
    pub fdatasync_p50_us: f64,
    /// What it takes at most, but for one in a hundred.
    pub fdatasync_p99_us: f64,
    /// The version of the server.
    pub callgate: String,
    /// The commit that it was built from; empty when nobody said.
    pub commit: String,
    /// The compiler that built it; empty when nobody said.
    pub rustc: String,
}

impl Machine {
    /// Looks at it.
    ///
    /// # Errors
    /// When the folder can't be written, or the server's binary doesn't run.
    pub fn look(options: &Options, server: &Path, folder: &Path) -> anyhow::Result<Self> {
        let disk = fdatasyncs(folder, 1000)?.sorted();
        let version = Command::new(server).arg("--version").env_clear().output();
        let version = version.with_context(|| format!("cannot run `{}`", server.display()))?;
        Ok(Self {
            cpu: value("/proc/cpuinfo", "model name").unwrap_or_default(),
            cores: std::thread::available_parallelism()
                .map_or(0, |cores| u64::try_from(cores.get()).unwrap_or(0)),
            memory_gib: memory_gib(),
            kernel: read("/proc/sys/kernel/osrelease"),
            file_system: file_system(folder),
            load_average: read("/proc/loadavg"),
            fdatasync_p50_us: us(disk.p50()).round(),
            fdatasync_p99_us: us(disk.p99()).round(),
            callgate: String::from_utf8_lossy(&version.stdout).trim().to_owned(),
            commit: options.commit.clone(),
            rustc: options.rustc.clone(),
        })
    }
}

/// What the time of all processors went to since the machine started, in clock ticks.
#[derive(Debug, Clone, Copy)]
pub struct Processors {
    all: u64,
    stolen: u64,
}

impl Processors {
    /// Up to now.
    ///
    /// # Errors
    /// When the kernel doesn't say.
    pub fn now() -> anyhow::Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("cannot read `/proc/stat`")?;
        Self::read(&text).context("`/proc/stat` doesn't begin with the processors' time")
    }

    /// Source: `proc_stat(5)`: user, nice, system, idle, iowait, irq, softirq, steal. Guests are in the first two.
    fn read(text: &str) -> Option<Self> {
        let ticks = text.strip_prefix("cpu ")?.lines().next()?.split_whitespace().take(8);
        let ticks = ticks.map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
        Some(Self { all: ticks.iter().sum(), stolen: *ticks.get(7)? })
    }

    /// How much of what passed since then the host of a virtual machine gave to others although it was asked for, in
    /// percent.
    #[must_use]
    pub fn stolen_percent_since(self, then: Self) -> f64 {
        let (all, stolen) = (self.all.saturating_sub(then.all), self.stolen.saturating_sub(then.stolen));
        float(stolen) / float(all.max(1)) * 100.0
    }
}

/// Appends pages to a file in a folder and makes each durable; how long each took.
///
/// # Errors
/// When the folder can't be written.
pub fn fdatasyncs(folder: &Path, count: u32) -> anyhow::Result<Samples> {
    let path = folder.join("fdatasync");
    let write = || -> std::io::Result<Samples> {
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        let mut samples = Samples::default();
        for _ in 0..count {
            let start = Instant::now();
            file.write_all(&PAGE)?;
            file.sync_data()?;
            samples.push(start.elapsed());
        }
        fs::remove_file(&path)?;
        Ok(samples)
    };
    write().with_context(|| format!("cannot write to `{}`", path.display()))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn value(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory_gib() -> f64 {
    let kib = value("/proc/meminfo", "MemTotal").unwrap_or_default();
    let kib: f64 = kib.trim_end_matches("kB").trim().parse().unwrap_or_default();
    (kib / 1024.0 / 1024.0 * 10.0).round() / 10.0
}

/// The kind of the file system that a folder lies on, and its device.
fn file_system(folder: &Path) -> String {
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let fits = mounts.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (device, point, kind) = (words.next()?, words.next()?, words.next()?);
        folder.starts_with(point).then(|| (point.len(), format!("{kind} on {device}")))
    });
    // Of several on one point the last one counts.
    fits.max_by_key(|(length, _)| *length).map(|(_, named)| named).unwrap_or_default()
}
