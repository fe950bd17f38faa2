//! The folder itself: whether it is there, whose it is, on what it lies, who may look into it, and the key.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::{Finding, database_file, quoted};
use crate::{
    domain::hex,
    engine::keys::KEY_BYTES,
    server::directory::{DATABASE, KEY, LOCK},
    store::inspect,
};

const FOLDER: &str = "data directory";
const FILE_SYSTEM: &str = "file system";
const PERMISSIONS: &str = "permissions";
const KEY_FILE: &str = "key";

/// The most files that one command line names.
const FILES_MAX: usize = 20;

/// Looks at the folder; its real path, where there is one that can be looked into.
pub(super) fn examine(data_dir: &Path, findings: &mut Vec<Finding>) -> Option<PathBuf> {
    let (folder, metadata) = match resolve(data_dir) {
        Ok(found) => found,
        Err(finding) => {
            findings.push(finding);
            return None;
        }
    };
    let user = rustix::process::geteuid().as_raw();
    findings.push(owner(&folder, &metadata, user));
    findings.push(file_system(&folder));
    let files = match own_files(&folder) {
        Ok(files) => files,
        Err(error) => {
            let found = format!("`{}` can't be looked into: {error}", folder.display());
            findings.push(Finding::fail(PERMISSIONS, found, "run this as the user of the server"));
            return None;
        }
    };
    findings.push(permissions(&folder, &metadata, &files));
    findings.extend(foreign(&metadata, &files, user));
    findings.push(key(&folder));
    Some(folder)
}

fn resolve(data_dir: &Path) -> Result<(PathBuf, Metadata), Finding> {
    let named = data_dir.display();
    let folder = data_dir.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Finding::fail(
            FOLDER,
            format!("there is no `{named}`"),
            "start a server once, which makes it, or name another folder with --data-dir",
        )
        .run(format!("callgate serve --data-dir {}", quoted(data_dir))),
        _ => Finding::fail(FOLDER, format!("`{named}` can't be used: {error}"), "run this as its owner"),
    })?;
    match fs::metadata(&folder) {
        Ok(metadata) if metadata.is_dir() => Ok((folder, metadata)),
        Ok(_) => Err(Finding::fail(
            FOLDER,
            format!("`{named}` is no folder"),
            "name the folder of the database with --data-dir",
        )),
        Err(error) => {
            Err(Finding::fail(FOLDER, format!("`{named}` can't be used: {error}"), "run this as its owner"))
        }
    }
}

fn owner(folder: &Path, metadata: &Metadata, user: u32) -> Finding {
    let (named, owner) = (folder.display(), metadata.uid());
    let found = format!("`{named}`, of user {owner}");
    if user == owner || user == 0 {
        return Finding::ok(FOLDER, found);
    }
    let command = format!("sudo -u '#{owner}' callgate doctor --data-dir {}", quoted(folder));
    Finding::warn(FOLDER, format!("{found}; this runs as user {user}"), "run this as its owner").run(command)
}

fn file_system(folder: &Path) -> Finding {
    match inspect::folder(folder) {
        Ok(()) => Finding::ok(FILE_SYSTEM, "no network file system"),
        Err(fault) => Finding::fail(
            FILE_SYSTEM,
            fault.to_string(),
            "stop every server, move the folder to a disk of this machine, and start with that --data-dir",
        )
        .run(format!("cp -a {} /var/lib/callgate", quoted(folder))),
    }
}

/// The files of ours in a folder, by name.
fn own_files(folder: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let mut found = vec![];
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_ours = name.starts_with(DATABASE)
            || [KEY, LOCK, "callgate.reserve"].contains(&&*name)
            || entry.path().extension().is_some_and(|extension| extension == "token");
        if is_ours && let Ok(metadata) = entry.path().metadata() {
            found.push((entry.path(), metadata));
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

/// Others may neither change the folder nor read what is in it.
fn permissions(folder: &Path, metadata: &Metadata, files: &[(PathBuf, Metadata)]) -> Finding {
    let mode = metadata.permissions().mode() & 0o7777;
    let place = quoted(folder);
    if mode & 0o022 != 0 {
        let found = format!("others may write to the folder (mode {mode:04o}); no server starts on it");
        return Finding::fail(PERMISSIONS, found, "keep it for its owner").run(format!("chmod 700 {place}"));
    }
    let open: Vec<&PathBuf> = files
        .iter()
        .filter(|(_, metadata)| metadata.permissions().mode() & 0o077 != 0)
        .map(|(path, _)| path)
        .take(FILES_MAX)
        .collect();
    if !open.is_empty() {
        let names: Vec<String> = open.iter().map(|path| format!("`{}`", file_name(path))).collect();
        let paths: Vec<String> = open.iter().map(|path| quoted(path)).collect();
        let found = format!("open to other users: {}", names.join(", "));
        let what = "keep them for their owner; a secret that others may have read is to be replaced besides";
        return Finding::fail(PERMISSIONS, found, what).run(format!("chmod 600 {}", paths.join(" ")));
    }
    if mode & 0o077 != 0 {
        let found = format!("others may look into the folder (mode {mode:04o})");
        return Finding::warn(PERMISSIONS, found, "keep it for its owner").run(format!("chmod 700 {place}"));
    }
    Finding::ok(PERMISSIONS, format!("the folder and its {} files are for their owner alone", files.len()))
}

/// Files that another user made, as a command run by root leaves them.
fn foreign(folder: &Metadata, files: &[(PathBuf, Metadata)], user: u32) -> Option<Finding> {
    let (owner, group) = (folder.uid(), folder.gid());
    let others: Vec<&PathBuf> = files
        .iter()
        .filter(|(_, metadata)| metadata.uid() != owner)
        .map(|(path, _)| path)
        .take(FILES_MAX)
        .collect();
    if others.is_empty() {
        return None;
    }
    let names: Vec<String> = others.iter().map(|path| format!("`{}`", file_name(path))).collect();
    let paths: Vec<String> = others.iter().map(|path| quoted(path)).collect();
    let found = format!("of another user than the folder: {}", names.join(", "));
    let what = "give them to the owner of the folder, with every server stopped";
    let sudo = if user == 0 { "" } else { "sudo " };
    let command = format!("{sudo}chown {owner}:{group} {}", paths.join(" "));
    Some(Finding::fail("owner", found, what).run(command))
}

fn key(folder: &Path) -> Finding {
    let path = folder.join(KEY);
    let named = path.display();
    match fs::read_to_string(&path).map(zeroize::Zeroizing::new) {
        Ok(text) if hex::decode::<KEY_BYTES>(text.trim()).is_some() => {
            Finding::ok(KEY_FILE, format!("`{named}`; keep a copy apart from those of the database"))
        }
        Ok(_) => Finding::fail(
            KEY_FILE,
            format!("`{named}` doesn't hold {} hex digits; no server starts with it", KEY_BYTES * 2),
            "put the copy back that was kept of it",
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !database_file(folder).exists() => {
            Finding::ok(KEY_FILE, "none yet; the first start makes one")
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::fail(
            KEY_FILE,
            format!("`{named}` is missing though there is a database; no server starts without it"),
            "put the copy back that was kept of it",
        )
        .run(format!("install -m 600 /where/it/is/kept/{KEY} {}", quoted(&path))),
        Err(error) => {
            Finding::fail(KEY_FILE, format!("`{named}` can't be read: {error}"), "run this as its owner")
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
