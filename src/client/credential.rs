//! The secret that a client shows: read from a file or a variable, never shown again.
//!
//! A file that others may read is refused: a secret that lies open is to be replaced, not used. Nothing here
//! prints, and no error holds any part of the secret.

use std::{
    fmt,
    fs::File,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use tonic::metadata::{Ascii, MetadataValue};
use zeroize::Zeroizing;

/// The longest credential, in bytes, inclusive.
pub const CREDENTIAL_BYTES_MAX: usize = 8 * 1024;

/// A bearer token. Its text is wiped when it is dropped, and its debug form doesn't show it.
#[derive(Clone)]
pub struct Credential(Zeroizing<String>);

/// Why a text or a file is no [`Credential`].
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The text is empty.
    #[error("the credential is empty")]
    Empty,
    /// The text is longer than [`CREDENTIAL_BYTES_MAX`] bytes.
    #[error("the credential is longer than {CREDENTIAL_BYTES_MAX} bytes")]
    TooLong,
    /// The text holds something else than visible ASCII characters.
    #[error("the credential holds characters other than visible ASCII: it is one line of text")]
    Characters,
    /// The file can't be read.
    #[error("the credential file `{path}` can't be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is readable or writable by its group or by everybody.
    #[error(
        "the credential file `{path}` is open to other users (mode {mode:04o}): replace the credential, and `chmod 600` the file"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl Credential {
    /// Takes a token without the white space around it.
    ///
    /// # Errors
    /// [`CredentialError`] says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, CredentialError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(CredentialError::Empty);
        }
        if text.len() > CREDENTIAL_BYTES_MAX {
            return Err(CredentialError::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CredentialError::Characters);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Reads a token from a file that nobody but its owner may read or write.
    ///
    /// # Errors
    /// [`CredentialError::Unreadable`], [`CredentialError::Exposed`], and those of [`Credential::new`].
    pub fn read(path: &Path) -> Result<Self, CredentialError> {
        let unreadable = |source| CredentialError::Unreadable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(CredentialError::Exposed { path: path.to_owned(), mode });
        }
        // One byte more than is allowed, and room for it from the start: a buffer that grows leaves copies behind.
        let limit = CREDENTIAL_BYTES_MAX + 64;
        let mut text = Zeroizing::new(String::with_capacity(limit + 1));
        let bound = u64::try_from(limit).unwrap_or(u64::MAX);
        file.take(bound).read_to_string(&mut text).map_err(unreadable)?;
        Self::new(&text)
    }

    /// Its SHA-256, which is what a server stores of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// The value of the `authorization` header, marked as sensitive.
    pub(super) fn bearer(&self) -> Result<MetadataValue<Ascii>, CredentialError> {
        let text = Zeroizing::new(format!("Bearer {}", self.0.as_str()));
        let mut value: MetadataValue<Ascii> = text.parse().map_err(|_error| CredentialError::Characters)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credential(‹secret›)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    fn file_with(text: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate.token");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_credential_is_read_without_its_line_end() {
        let (_folder, path) = file_with(b"  abc-DEF_123\n", 0o600);
        assert_eq!(Credential::read(&path).unwrap().0.as_str(), "abc-DEF_123");
    }

    #[test]
    fn a_file_that_others_may_open_is_refused() {
        for mode in [0o640, 0o604, 0o620, 0o660, 0o644, 0o601] {
            let (_folder, path) = file_with(b"abc", mode);
            let error = Credential::read(&path).unwrap_err();
            assert!(matches!(error, CredentialError::Exposed { .. }), "{mode:o}: {error}");
        }
    }

    #[test]
    fn a_text_that_is_no_token_is_refused_without_being_shown() {
        let long = "x".repeat(CREDENTIAL_BYTES_MAX + 1);
        for bad in ["", " \n", "two words", "tab\there", "ünicode", "line\nbreak", "nul\0", long.as_str()] {
            let error = Credential::new(bad).unwrap_err().to_string();
            assert!(bad.trim().is_empty() || !error.contains(bad.trim()), "{error}");
        }
        let (_folder, path) = file_with(b"\xff\xfe", 0o600);
        assert!(Credential::read(&path).is_err());
        let (_folder, path) = file_with("x".repeat(1024 * 1024).as_bytes(), 0o600);
        assert!(matches!(Credential::read(&path).unwrap_err(), CredentialError::TooLong));
    }
}
