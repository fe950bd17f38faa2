//! File systems of a test's own: small, or on an image that can be copied. They take root.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A mounted file system, unmounted when this is dropped.
pub struct Mount(PathBuf);

impl Mount {
    /// Mounts a file system in memory; nothing where that isn't allowed.
    pub fn memory(folder: &Path, size: &str) -> Option<Self> {
        let size = format!("size={size}");
        Self::mounted(folder, &["-t", "tmpfs", "-o", &size, "tmpfs"])
    }

    /// Mounts an image; nothing where that isn't allowed.
    pub fn image(folder: &Path, image: &Path) -> Option<Self> {
        Self::mounted(folder, &["-o", "loop", image.to_str().unwrap()])
    }

    fn mounted(folder: &Path, arguments: &[&str]) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        is_done(Command::new("mount").args(arguments).arg(folder)).then(|| Self(folder.into()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // What is left of a failed test goes with the machine's temporary files.
        if !is_done(Command::new("umount").arg(&self.0)) {
            let _ = is_done(Command::new("umount").arg("--lazy").arg(&self.0));
        }
    }
}

/// Runs a command; whether it is there and did it.
pub fn is_done(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
